// SPDX-License-Identifier: Apache-2.0
// Names of functions of this process, for messages.
#pragma once

#include <string>

namespace lockstep::emu {

// "conv2d_fwd_kernel<32, 4>": the demangled name without namespaces of ours and without parameters, from the symbol
// table of the program or shared object that holds it; its address where there is none. Slow: reads the file.
std::string function_name(const void* function);

}  // namespace lockstep::emu
