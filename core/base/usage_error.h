// SPDX-License-Identifier: Apache-2.0
// What programs with subcommands answer to a wrong command line.
#pragma once

#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace lockstep {

// What is wrong: for an unknown flag or subcommand its name and the nearest known one, else what the parser says.
std::string usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace lockstep
