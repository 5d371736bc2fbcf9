// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target on files and on damaged copies of them, for builds without libFuzzer: seeds, and inputs that once
// broke something. The damage is the same in every run.
//   fuzz_replay_<target> [--damaged=N] FILE_OR_DIRECTORY...      N copies of each file, 2000 without the option
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr unsigned kPatienceSeconds = 30;  // for one input

char now_running[512];  // for the handler, which may not allocate

void tell_input(int signal) {
  (void)!::write(STDERR_FILENO, now_running, std::strlen(now_running));
  ::raise(signal);  // now with the usual consequence
}

// What ends the program, be it for want of stack or of time, first names the input.
void name_input_at_the_end() {
  static char stack[1 << 14];
  const stack_t other{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof(stack)};
  ::sigaltstack(&other, nullptr);
  struct sigaction action {};
  action.sa_handler = tell_input;
  action.sa_flags = SA_ONSTACK | static_cast<int>(SA_RESETHAND) | SA_NODEFER;
  for (const int signal : {SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::sigaction(signal, &action, nullptr);
}

void run(const Bytes& bytes, const std::string& what) {
  std::snprintf(now_running, sizeof(now_running), "while reading %s\n", what.c_str());
  ::alarm(kPatienceSeconds);
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

// One step away: what disks, networks and attackers do to a file.
void damage(Bytes& bytes, std::mt19937& random) {
  const auto position = [&](size_t size) { return static_cast<std::ptrdiff_t>(random() % std::max<size_t>(1, size)); };
  if (bytes.empty()) bytes.push_back(0);
  const std::ptrdiff_t at = position(bytes.size());
  switch (random() % 6) {
    case 0:
      bytes[static_cast<size_t>(at)] ^= static_cast<uint8_t>(1u << (random() % 8));
      break;
    case 1:
      bytes.resize(static_cast<size_t>(at));
      break;
    case 2:  // sizes and counts at their limits
      bytes[static_cast<size_t>(at)] = std::vector<uint8_t>{0x00, 0x7f, 0x80, 0xff}[random() % 4];
      break;
    case 3: {
      const size_t count = 1 + random() % 8;
      const auto value = static_cast<uint8_t>(random());
      bytes.insert(bytes.begin() + at, count, value);
      break;
    }
    case 4: {  // a piece is there twice
      const Bytes piece(bytes.begin() + at, bytes.begin() + at + position(bytes.size() - static_cast<size_t>(at)));
      bytes.insert(bytes.begin() + at, piece.begin(), piece.end());
      break;
    }
    default:
      bytes.erase(bytes.begin() + at, bytes.begin() + at + position(bytes.size() - static_cast<size_t>(at)));
  }
}

void replay(const std::filesystem::path& path, unsigned damaged) {
  std::ifstream in(path, std::ios::binary);
  const Bytes good{std::istreambuf_iterator<char>(in), {}};
  std::printf("%s: %zu bytes\n", path.c_str(), good.size());
  std::fflush(stdout);
  run(good, path);
  for (unsigned copy = 1; copy <= damaged; ++copy) {
    std::mt19937 random(copy);
    Bytes bytes = good;
    for (auto times = 1 + random() % 4; times > 0; --times) damage(bytes, random);
    run(bytes, path.string() + ", damaged copy " + std::to_string(copy));
  }
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool parse_damaged(std::string_view argument, unsigned* damaged) {
  constexpr std::string_view kName = "--damaged=";
  if (!argument.starts_with(kName)) return false;
  const char* const end = argument.data() + argument.size();
  const auto parsed = std::from_chars(argument.data() + kName.size(), end, *damaged);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

}  // namespace

int main(int argc, char** argv) {
#ifndef LOCKSTEP_SANITIZED  // whose reports say more
  name_input_at_the_end();
#endif
  unsigned damaged = 2000;
  int replayed = 0;
  for (const std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
    if (argument.starts_with("--")) {
      if (parse_damaged(argument, &damaged)) continue;
      std::fprintf(stderr, "%s: expected --damaged=N\n", std::string(argument).c_str());
      return 2;
    }
    if (!std::filesystem::exists(argument)) {
      std::fprintf(stderr, "%s: no such file or directory\n", std::string(argument).c_str());
      return 2;
    }
    for (const auto& file : files_of(argument)) {
      replay(file, damaged);
      ++replayed;
    }
  }
  if (replayed == 0) std::fprintf(stderr, "no input: expected files or directories with files\n");
  return replayed == 0 ? 1 : 0;
}
