// What the three programs touch of the official Mesos library, declared by name, parameters and enough room.
//
// No Mesos header is used. A class of the library is a block of zeroed bytes, larger than the class is in any
// release, with the exported constructors and functions that are called; the linker binds them by their mangled
// names, so a wrong declaration fails to link instead of misbehaving. What is *returned* is not part of a mangled
// name: classes returned by value have a destructor here, because the ABI then returns them through memory.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <stout.hpp>

#if !defined(MESOS_VERSION) || !defined(MESOS_MINOR)
#error "MESOS_VERSION (a string such as \"1.11.0\") and MESOS_MINOR (11) are given by the build"
#endif

// Room for a class whose real size is smaller. Every such class is aligned to 8 bytes, and so stands at offset 8 of
// an Option, where the library looks for it.
template <std::size_t Bytes>
struct Room {
  alignas(8) unsigned char bytes[Bytes] = {};
};

// What the library sees as Option<T>, with the T constructed where it stays (the classes here cannot be copied byte
// by byte).
template <typename T>
class InPlace {
public:
  T& get() { return value; }
  const Option<T>& asOption() const { return *reinterpret_cast<const Option<T>*>(this); }

private:
  std::int32_t some = 0;
  T value;
};

// The result of `make`, built in memory that is never freed: for classes returned by value whose real size is
// smaller than the room here, so that their destructors must not run.
template <typename Make>
auto& forever(Make make) {
  return *new auto(make());
}

template <typename Key, typename Value, typename Hash = std::hash<Key>, typename Equal = std::equal_to<Key>>
class hashmap {
public:
  hashmap() = default;
  hashmap(const hashmap&) = delete;
  ~hashmap() {}  // NOLINT: makes the ABI return it through memory; its content is never freed

private:
  Room<256> room;
};

namespace flags {

struct Warning {
  std::string message;
};

struct Warnings {
  std::vector<Warning> warnings;
};

class FlagsBase {
public:
  Try<Warnings> load(
      const Option<std::string>& prefix, int argc, const char* const* argv, bool unknowns, bool duplicates);
  Try<Warnings> load(
      const std::map<std::string, std::string>& values, bool unknowns, const Option<std::string>& prefix);
  std::string usage(const Option<std::string>& message) const;
  std::map<std::string, std::string> buildEnvironment(const Option<std::string>& prefix) const;
};

// The value of a flag as the library reads it: the text itself, or a file's content after "file://".
template <typename T>
Try<T> fetch(const std::string& value);

}  // namespace flags

namespace process {

class UPID {
public:
  UPID(const UPID& that);
  ~UPID();
  bool operator<(const UPID& that) const;

private:
  Room<512> room;
};

class ProcessBase;
class RateLimiter;

template <typename T>
class Future {
  std::shared_ptr<void> data;
};

template <typename T>
class Owned {
public:
  // Of a struct that holds the plain pointer.
  std::shared_ptr<T*> data;
};

bool initialize(
    const Option<std::string>& delegate,
    const Option<std::string>& readwriteRealm,
    const Option<std::string>& readonlyRealm);
UPID spawn(ProcessBase* process, bool manage);
bool wait(const UPID& pid, const Duration& duration);

namespace http {

class Request;

namespace authentication {
struct Principal;
}

namespace authorization {

using Callback = std::function<Future<bool>(Request, Option<authentication::Principal>)>;

void setCallbacks(const hashmap<std::string, Callback>& callbacks);

}  // namespace authorization
}  // namespace http

namespace network {
namespace unix {
class Address;
}
namespace internal {
template <typename Address>
class Socket {
  std::shared_ptr<void> implementation;
};
}  // namespace internal
}  // namespace network
}  // namespace process

namespace google {
void FlushLogFiles(int severity);
}

namespace mesos {

// Protobuf messages stay closed; the room holds any of them.
class Modules {
public:
  Modules(const Modules& that);
  ~Modules();

private:
  Room<1024> room;
};

class ACLs {
public:
  ACLs(const ACLs& that);
  ~ACLs();

private:
  Room<4096> room;
};

class MasterInfo {
public:
  MasterInfo(const MasterInfo& that);
  ~MasterInfo();

private:
  Room<4096> room;
};

class Authorizer {
public:
  static Try<Authorizer*> create(const std::string& name);
  static Try<Authorizer*> create(const ACLs& acls);
};

class SecretGenerator;

class SecretResolver {
public:
  static Try<SecretResolver*> create(const Option<std::string>& module);
};

#if MESOS_MINOR >= 8
namespace authorization {
#endif
hashmap<std::string, process::http::authorization::Callback> createAuthorizationCallbacks(Authorizer* authorizer);
#if MESOS_MINOR >= 8
}  // namespace authorization
#endif

namespace modules {
class ModuleManager {
public:
  static Try<Nothing> load(const std::string& directory);
  static Try<Nothing> loadManifest(const Modules& modules);
};
}  // namespace modules

namespace internal {

namespace logging {

class Flags {
public:
  Flags();

private:
  Room<4096> room;
};

#if MESOS_MINOR >= 5
void initialize(const std::string& argv0, bool installFailureSignalHandler, const Option<Flags>& flags);
#else
void initialize(const std::string& argv0, const Flags& flags, bool installFailureSignalHandler);
#endif

}  // namespace logging

class VersionProcess {
public:
  VersionProcess();

private:
  Room<8192> room;
};

class HookManager {
public:
  static Try<Nothing> initialize(const std::string& hooks);
};

class Files {
public:
  Files(const Option<std::string>& realm, const Option<Authorizer*>& authorizer);

private:
  Room<4096> room;
};

}  // namespace internal

namespace master {
namespace detector {

class MasterDetector {
public:
  static Try<MasterDetector*> create(
      const Option<std::string>& zk, const Option<std::string>& module, const Option<Duration>& timeout);
};

}  // namespace detector
}  // namespace master
}  // namespace mesos
