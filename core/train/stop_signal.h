// SPDX-License-Identifier: Apache-2.0
// SIGTERM, SIGINT and SIGUSR1 ask a run to stop after the current step and leave a checkpoint. (mpirun passes SIGUSR1
// on to the ranks and waits; after SIGTERM it kills them within a second.)
#pragma once

namespace lockstep {

// Installs the handlers for this process. A second SIGINT ends the process at once.
void catch_stop_signals();

// Number of the signal that arrived first, or 0.
int stop_signal();

}  // namespace lockstep
