// SPDX-License-Identifier: Apache-2.0
// Which ranks of this host have started, before MPI connects them: if one never comes, the others can name it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "mpi/launcher.h"

namespace lockstep {

class StartupBoard {
 public:
  // Signs in. A board that cannot be made, or a launcher that does not tell rank and job, leaves it blank: it only
  // serves messages.
  explicit StartupBoard(const Launch& launch);
  // Every rank has come.
  ~StartupBoard();
  StartupBoard(const StartupBoard&) = delete;
  StartupBoard& operator=(const StartupBoard&) = delete;

  // "rank 0 has started (process 77), rank 1 has not started"; ranks of other hosts cannot sign in here.
  std::string table() const;

  // Removes the board's name, so that nothing stays behind; those who have signed in still see it.
  void take_down() const;

 private:
  std::string name_;
  std::atomic<int32_t>* pids_ = nullptr;  // [declared size], 0 until the rank has come
  int size_ = 0;
};

}  // namespace lockstep
