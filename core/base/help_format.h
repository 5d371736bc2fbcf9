// SPDX-License-Identifier: Apache-2.0
// How --help of all programs looks.
#pragma once

namespace CLI {
class App;
}  // namespace CLI

namespace lockstep {

// To be called before options and subcommands are added, which take it over: the unit or kind of a value and its
// default beside the name ("--threads threads=0"), lines that fit a terminal, `(one of)` at a group of which one is
// required, and nothing of the checks, which speak where they fail. The name of a type must not hold a colon.
void set_help_format(CLI::App& app);

}  // namespace lockstep
