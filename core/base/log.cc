// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

namespace lockstep {
namespace {

void write_all(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(STDERR_FILENO, data, size);
    if (n <= 0) return;  // stderr is gone: there is nobody left to tell
    data += n;
    size -= static_cast<size_t>(n);
  }
}

// Writes each line with one write(), so that lines of several ranks never mix, and keeps the progress line last.
class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set_progress(std::string_view text) {
    std::lock_guard lock(this->mutex_);
    progress_ = text;
    const std::string out = "\r\x1b[K" + progress_;
    write_all(out.data(), out.size());
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t formatted;
    this->formatter_->format(msg, formatted);
    std::string out(formatted.data(), formatted.size());
    if (!progress_.empty()) out = "\r\x1b[K" + out + progress_;
    write_all(out.data(), out.size());
  }
  void flush_() override {}

 private:
  std::string progress_;
};

struct Logging {
  int rank = 0;
  bool terminal = ::isatty(STDERR_FILENO) == 1;
  std::shared_ptr<StderrSink> sink = std::make_shared<StderrSink>();
  spdlog::logger logger{"lockstep", sink};

  Logging() { set_pattern(); }
  void set_pattern() {
    logger.set_level(spdlog::level::trace);
    logger.set_pattern("%L %H:%M:%S.%e r" + std::to_string(rank) + " %s:%# %v");
  }
};

Logging& logging() {
  static Logging* instance = new Logging;  // never destroyed: other threads may log while the program exits
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void init_logging(int rank) {
  logging().rank = rank;
  logging().set_pattern();
}

bool log_enabled(LogLevel level) {
  if (level == LogLevel::kDebug) return false;
  return level >= LogLevel::kWarning || logging().rank == 0;
}

void log_line(LogLevel level, const char* file, int line, std::string_view message) {
  logging().logger.log(spdlog::source_loc{file, line, ""}, to_spdlog(level), "{}", message);
}

void show_progress(std::string_view text) {
  Logging& state = logging();
  if (state.terminal && state.rank == 0) state.sink->set_progress(text);
}

}  // namespace lockstep
