// SPDX-License-Identifier: Apache-2.0
// grad_reducer_ranks <transport>: the reducer scenario between real ranks; exit code 0 when every rank has the weights
// of one rank bit for bit.
#include <cstdio>
#include <string>

#include "mpi/communicator.h"
#include "tests/mpi/reducer_scenario.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto communicator = lockstep::open_communicator({});
  if (!communicator.ok()) {
    std::fprintf(stderr, "%s\n", communicator.status().ToString().c_str());
    return 1;
  }
  lockstep::Scenario scenario{.transport = argv[1]};
  // Large enough for messages that the receiver has to fetch.
  scenario.buckets = {{21000, 30000}, {20990, 10}, {1000, 19990}, {0, 1000}};
  scenario.parameters = 51000;
  scenario.steps = 10;
  for (const absl::Status& status : {lockstep::run_scenario(**communicator, {.transport = argv[1], .steps = 100}),
                                     lockstep::run_scenario(**communicator, scenario)})
    if (!status.ok()) (*communicator)->abort(std::string(status.message()));
  return 0;
}
