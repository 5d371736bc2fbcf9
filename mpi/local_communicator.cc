// SPDX-License-Identifier: Apache-2.0
#include "mpi/local_communicator.h"

#include <cstdio>
#include <cstdlib>

#include "core/base/log.h"

namespace lockstep {

void LocalCommunicator::abort(std::string_view reason) {
  LOG_ERROR("stopped on {}: {}", host_, reason);
  std::fflush(nullptr);
  // Other threads may be anywhere: no destructors.
  std::_Exit(1);
}

std::unique_ptr<Communicator> make_local_communicator() { return std::make_unique<LocalCommunicator>(); }

}  // namespace lockstep
