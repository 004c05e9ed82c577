#include "layout.hpp"

#include <dlfcn.h>
#include <link.h>

#include <array>
#include <cstring>

#include "measure.hpp"
#include "modules.hpp"
#include "promise.hpp"

namespace {

using mesos::slave::ContainerLaunchInfo;

template <typename Message>
bool fits() {
  const std::size_t bytes = bytesOf<Message>();
  return bytes >= sizeof(void*) && bytes % sizeof(void*) == 0 && bytes <= mesos::ROOM;
}

template <typename T>
bool fresh(process::Future<T>& future, bool canBeAbandoned) {
  const auto& state = future.state();
  return !state.lock && state.state == process::Future<T>::State::PENDING && !state.discard && !state.associated &&
      (state.abandoned || !canBeAbandoned);
}

// A future that was just made, one that was set, and one that failed.
template <typename T>
bool futureAsDeclared(const T& value, bool canBeAbandoned) {
  using State = typename process::Future<T>::State;
  process::Future<T> made;
  process::Future<T> set;
  process::Future<T> failed;
  if (!fresh(made, canBeAbandoned) || !fresh(set, canBeAbandoned) || !fresh(failed, canBeAbandoned)) {
    return false;
  }
  return set.set(value) && set.state().state == State::READY && failed.fail("checked") &&
      failed.state().state == State::FAILED && fresh(made, canBeAbandoned);
}

// clone_namespaces: [0x20000], a launch info that goes through the library's future and comes out as it went in.
bool launchInfoAsDeclared() {
  static constexpr std::array<char, 4> WIRE = {'\x20', '\x80', '\x80', '\x08'};
  ContainerLaunchInfo info;
  if (!asMessage(info).ParsePartialFromArray(WIRE.data(), static_cast<int>(WIRE.size()))) {
    return false;
  }
  process::Future<Option<ContainerLaunchInfo>> some = completed(Option<ContainerLaunchInfo>(info));
  process::Future<Option<ContainerLaunchInfo>> none = completed(Option<ContainerLaunchInfo>());
  return none.get().isNone() && some.get().isSome() &&
      asMessage(some.get().get()).SerializePartialAsString() == std::string(WIRE.data(), WIRE.size());
}

// The library's own isolator has exactly the functions of the shape, in its order.
std::optional<std::string> interfaceProblem(Shape shape) {
  const void* found = ::dlsym(RTLD_DEFAULT, VIRTUAL_TABLE);
  Dl_info info;
  const ElfW(Sym)* symbol = nullptr;
  if (found == nullptr ||
      ::dladdr1(found, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&symbol)), RTLD_DL_SYMENT) == 0 ||
      symbol == nullptr) {
    return "the isolator interface cannot be seen (" + std::string(VIRTUAL_TABLE) + " is not exported)";
  }
  // In front of the functions are the offset to the top and the type.
  const void* const* functions = static_cast<const void* const*>(found) + 2;
  const std::size_t count = symbol->st_size / sizeof(void*) - 2;
  const Functions expected = functionsOf(shape);
  for (std::size_t i = 0; i <= MOST_FUNCTIONS; ++i) {
    const char* name = expected.symbols[i];
    if (name == nullptr) {
      return count == i ? std::nullopt
                        : std::optional<std::string>(
                              "the isolator interface has " + std::to_string(count) + " functions and not " +
                              std::to_string(i));
    }
    if (i >= count || ::dlsym(RTLD_DEFAULT, name) != functions[i]) {
      return "function " + std::to_string(i) + " of the isolator interface is not " + name;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string runningMesos() {
  // Walked, not looked up: a lookup would have to hash as the library does.
  for (const auto& [kind, version] : mesos::modules::ModuleManager::kindToVersion) {
    if (kind == "Isolator") {
      return version;
    }
  }
  return "";
}

std::optional<std::string> layoutProblem(const Release& release) {
  if (std::optional<std::string> problem = interfaceProblem(release.shape)) {
    return problem;
  }
  if (!fits<ContainerLaunchInfo>() || !fits<mesos::slave::ContainerLimitation>() ||
      !fits<mesos::slave::ContainerState>() || !fits<mesos::ResourceStatistics>() || !fits<mesos::ContainerStatus>()) {
    return "a message is larger than this build has room for";
  }
  const bool abandoned = release.futuresCanBeAbandoned;
  if (!futureAsDeclared(Nothing(), abandoned) || !futureAsDeclared(Option<ContainerLaunchInfo>(), abandoned) ||
      !futureAsDeclared(mesos::slave::ContainerLimitation(), abandoned) ||
      !futureAsDeclared(mesos::ResourceStatistics(), abandoned) ||
      !futureAsDeclared(mesos::ContainerStatus(), abandoned)) {
    return "a future of libprocess is not laid out as expected";
  }
  if (!launchInfoAsDeclared()) {
    return "an optional launch info is not laid out as expected";
  }
  return std::nullopt;
}

std::size_t containerStateBytes() { return bytesOf<mesos::slave::ContainerState>(); }
