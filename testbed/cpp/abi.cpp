// What a Mesos library is like where the module relies on it, beside what the module expects. Prints a line for each finding:
// what, found and expected, separated by tabs; an expectation that starts with "<=" is a limit.
//
// The library is opened, not linked: one that lacks a symbol is the one to be told about.
#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <unordered_map>

#include "messages.hpp"
#include "releases.hpp"

namespace {

constexpr const char* NOT_EXPORTED = "not exported";

void* library = nullptr;

void* symbol(const std::string& name) { return ::dlsym(library, name.c_str()); }

std::string readable(const char* name) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

void finding(const std::string& what, const std::string& found, const std::string& expected) {
  std::cout << what << '\t' << found << '\t' << expected << '\n';
}

std::string runningVersion() {
  auto initialize = reinterpret_cast<void (*)()>(symbol("_ZN5mesos7modules13ModuleManager10initializeEv"));
  auto* versions = static_cast<std::unordered_map<std::string, std::string>*>(
      symbol("_ZN5mesos7modules13ModuleManager13kindToVersionB5cxx11E"));
  if (initialize == nullptr || versions == nullptr) {
    return "";
  }
  initialize();
  for (const auto& [kind, version] : *versions) {
    if (kind == "Isolator") {
      return version;
    }
  }
  return "";
}

// A default-constructed object of the class with this mangled name, where it fits whatever its size. Null when its constructor
// is not exported. Never destroyed.
unsigned char* made(const std::string& mangled) {
  auto construct = reinterpret_cast<void (*)(void*)>(symbol("_ZN" + mangled + "C1Ev"));
  if (construct == nullptr) {
    return nullptr;
  }
  auto* object = static_cast<unsigned char*>(std::calloc(1, 65536));
  construct(object);
  return object;
}

std::string sizeOf(const std::string& mangled) {
  auto size = reinterpret_cast<std::size_t (*)(const void*)>(symbol("_ZNK6google8protobuf7Message13SpaceUsedLongEv"));
  const unsigned char* message = made(mangled);
  return size == nullptr || message == nullptr ? NOT_EXPORTED : std::to_string(size(message));
}

void printSizes(const Release& release) {
  const std::string limit = "<=" + std::to_string(mesos::ROOM);
  finding("size of ContainerState", sizeOf("5mesos5slave14ContainerState"), std::to_string(release.containerState));
  finding("size of ContainerLaunchInfo", sizeOf("5mesos5slave19ContainerLaunchInfo"), limit);
  finding("size of ContainerLimitation", sizeOf("5mesos5slave19ContainerLimitation"), limit);
  finding("size of ResourceStatistics", sizeOf("5mesos18ResourceStatistics"), limit);
  finding("size of ContainerStatus", sizeOf("5mesos15ContainerStatus"), limit);
}

void printFuture(const Release& release) {
  unsigned char* future = made("7process6FutureI7NothingE");
  if (future == nullptr) {
    finding("a new future", NOT_EXPORTED, "exported");
    return;
  }
  const unsigned char* state = *reinterpret_cast<unsigned char**>(future);
  std::int32_t is = 0;
  std::memcpy(&is, state + 4, sizeof(is));
  std::string found = "lock " + std::to_string(state[0]) + ", state " + std::to_string(is) + ", discard " +
      std::to_string(state[8]) + ", associated " + std::to_string(state[9]);
  std::string expected = "lock 0, state 0, discard 0, associated 0";
  if (release.futuresCanBeAbandoned) {
    found += ", abandoned " + std::to_string(state[10]);
    expected += ", abandoned 1";
  }
  finding("a new future", found, expected);
}

void printInterface(const Release& release) {
  void* table = symbol(VIRTUAL_TABLE);
  Dl_info info;
  const ElfW(Sym)* entry = nullptr;
  if (table == nullptr ||
      ::dladdr1(table, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&entry)), RTLD_DL_SYMENT) == 0 ||
      entry == nullptr) {
    finding("virtual table of the interface", NOT_EXPORTED, "exported");
    return;
  }
  void* const* functions = static_cast<void* const*>(table) + 2;
  const std::size_t count = entry->st_size / sizeof(void*) - 2;
  const Functions expected = functionsOf(release.shape);
  for (std::size_t i = 0; i < count || (i < MOST_FUNCTIONS && expected.symbols[i] != nullptr); ++i) {
    const char* name = i <= MOST_FUNCTIONS ? expected.symbols[i] : nullptr;
    const char* found = nullptr;
    if (i < count && ::dladdr(functions[i], &info) != 0 && info.dli_saddr == functions[i]) {
      found = info.dli_sname;
    }
    // One function may have two names; the expected one is as good as the other.
    if (name != nullptr && i < count && symbol(name) == functions[i]) {
      found = name;
    }
    finding(
        "virtual function " + std::to_string(i),
        i >= count ? "none" : found == nullptr ? "without a symbol" : readable(found),
        name == nullptr ? "none" : readable(name));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "Usage: abi PYTHON-STUBS LIBRARY" << std::endl;
    return EXIT_FAILURE;
  }
  // The stubs first: the library's references to data are bound when it is opened.
  if (::dlopen(argv[1], RTLD_LAZY | RTLD_GLOBAL) == nullptr ||
      (library = ::dlopen(argv[2], RTLD_LAZY | RTLD_GLOBAL)) == nullptr) {
    std::cerr << ::dlerror() << std::endl;
    return EXIT_FAILURE;
  }
  const std::string version = runningVersion();
  const Release* known = findRelease(version.c_str());
  const std::string range = std::string("one of ") + OLDEST_KNOWN + " to " + NEWEST_KNOWN;
  finding("release", version.empty() ? "does not say" : version, known == nullptr ? range : version);
  // What is unknown is compared with the newest.
  const Release& release = known == nullptr ? RELEASES[sizeof(RELEASES) / sizeof(RELEASES[0]) - 1] : *known;
  printInterface(release);
  printSizes(release);
  printFuture(release);
  std::cout.flush();
  // The library's threads and destructors are of no interest.
  std::_Exit(EXIT_SUCCESS);
}
