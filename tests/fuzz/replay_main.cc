// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target on files and on damaged copies of them, for builds without libFuzzer: seeds, and inputs that once
// broke something. The damage is the same in every run.
//   fuzz_replay_<target> [--damaged=N] FILE_OR_DIRECTORY...      N copies of each file, 2000 without the option
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
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

char now_running[512];  // for the handler, which may not allocate

void tell_input(int signal) {
  (void)!::write(STDERR_FILENO, now_running, std::strlen(now_running));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Bytes& bytes, const std::string& what) {
  std::snprintf(now_running, sizeof(now_running), "while reading %s\n", what.c_str());
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
    case 3:
      bytes.insert(bytes.begin() + at, 1 + random() % 8, static_cast<uint8_t>(random()));
      break;
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

}  // namespace

int main(int argc, char** argv) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, tell_input);
  constexpr std::string_view kDamaged = "--damaged=";
  unsigned damaged = 2000;
  int replayed = 0;
  for (const std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
    if (argument.starts_with(kDamaged)) {
      const std::string_view count = argument.substr(kDamaged.size());
      if (std::from_chars(count.data(), count.data() + count.size(), damaged).ec == std::errc()) continue;
      std::fprintf(stderr, "%s: expected a number of copies\n", argv[0]);
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
