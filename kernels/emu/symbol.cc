// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/symbol.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstdlib>
#include <fstream>
#include <span>
#include <sstream>
#include <string_view>
#include <vector>

namespace lockstep::emu {
namespace {

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return std::move(bytes).str();
}

// Kernels are local symbols, which dladdr does not know: they are only in the section .symtab.
template <typename T>
std::span<const T> table(const std::string& file, uint64_t offset, uint64_t bytes) {
  if (offset > file.size() || bytes > file.size() - offset) return {};
  return {reinterpret_cast<const T*>(file.data() + offset), bytes / sizeof(T)};
}

std::string mangled_name(const std::string& file, uint64_t address) {
  const auto header = table<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
  if (header.empty() || std::string_view(file).substr(0, SELFMAG) != ELFMAG) return "";
  const auto sections = table<ElfW(Shdr)>(file, header[0].e_shoff, header[0].e_shnum * sizeof(ElfW(Shdr)));
  for (const ElfW(Shdr) & section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const auto names = table<char>(file, sections[section.sh_link].sh_offset, sections[section.sh_link].sh_size);
    for (const ElfW(Sym) & symbol : table<ElfW(Sym)>(file, section.sh_offset, section.sh_size)) {
      const bool here = symbol.st_value <= address && address < symbol.st_value + symbol.st_size;
      if (here && symbol.st_name < names.size()) return names.data() + symbol.st_name;
    }
  }
  return "";
}

std::string demangled(const std::string& mangled) {
  int status = 0;
  char* const text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string result = status == 0 ? text : mangled;
  std::free(text);
  return result;
}

void erase_all(std::string& text, std::string_view part) {
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part)) text.erase(at, part.size());
}

// "void lockstep::(anonymous namespace)::f<3>(float*, int)" -> "f<3>".
std::string shortened(std::string name) {
  erase_all(name, "lockstep::");
  erase_all(name, "(anonymous namespace)::");
  erase_all(name, "cuda::");
  int depth = 0;  // of template arguments, which may hold parentheses: f<(Padding)1>(float*)
  for (size_t i = 0; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
    if (name[i] == '(' && depth == 0) name.resize(i);
  }
  if (name.starts_with("void ")) name.erase(0, 5);
  return name;
}

}  // namespace

std::string function_name(const void* function) {
  Dl_info info{};
  link_map* map = nullptr;
  if (::dladdr1(function, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) != 0 && map != nullptr) {
    const std::string path = map->l_name[0] == '\0' ? "/proc/self/exe" : map->l_name;
    const auto address = reinterpret_cast<uintptr_t>(function) - map->l_addr;
    if (const std::string name = mangled_name(read_whole(path), address); !name.empty()) {
      return shortened(demangled(name));
    }
  }
  return fmt::format("kernel at {}", function);
}

}  // namespace lockstep::emu
