// SPDX-License-Identifier: Apache-2.0
// SIGTERM, SIGINT and SIGUSR1 ask a run to stop after the current step and leave a checkpoint. (mpirun passes SIGUSR1
// on to the ranks and waits. SIGTERM it passes on after odls_base_sigkill_timeout seconds, and kills them after as many
// more: one by default, which a small model's checkpoint needs a part of.)
#pragma once

namespace lockstep {

// Installs the handlers for this process. A second SIGINT ends the process at once.
void catch_stop_signals();

// Number of the signal that arrived first, or 0.
int stop_signal();

}  // namespace lockstep
