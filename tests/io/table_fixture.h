// SPDX-License-Identifier: Apache-2.0
// Tables made by LevelDB itself, in memory.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

struct TableFixture {
  bool snappy = false;
  size_t block_bytes = 262144;
  int restart_interval = 16;
};

std::string make_table(const std::vector<std::pair<std::string, std::string>>& entries,
                       const TableFixture& fixture = {});

}  // namespace lockstep
