// SPDX-License-Identifier: Apache-2.0
// Log lines on stderr: `I 12:03:04.567 r0 trainer.cc:88 step=200 loss=0.0931`.
// Rank 0 logs progress (info); every rank logs warnings and errors. Thread-safe.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace lockstep {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Sets the rank shown in each line. Ranks other than 0 keep quiet below kWarning. Call once, before other threads log.
void init_logging(int rank);

// True when a line of this level would be written by this process.
bool log_enabled(LogLevel level);

// Clears the one-line progress display (if any) and writes the line with a single write().
void log_line(LogLevel level, const char* file, int line, std::string_view message);

// Shows `text` as the last line of a terminal, replaced by the next call; "" removes it. No-op when stderr is no
// terminal or the rank is not 0.
void show_progress(std::string_view text);

}  // namespace lockstep

#define LOCKSTEP_LOG(level, ...)                                                                         \
  do {                                                                                                   \
    if (::lockstep::log_enabled(::lockstep::LogLevel::level))                                            \
      ::lockstep::log_line(::lockstep::LogLevel::level, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
#define LOG_INFO(...) LOCKSTEP_LOG(kInfo, __VA_ARGS__)
#define LOG_WARNING(...) LOCKSTEP_LOG(kWarning, __VA_ARGS__)
#define LOG_ERROR(...) LOCKSTEP_LOG(kError, __VA_ARGS__)
