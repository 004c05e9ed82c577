// Flags of a Mesos program: parsed by the library itself, seen here as the text of each value.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <string>

#include "mesos.hpp"

// Every flag that has a value, defaults included, by its name in upper case ("WORK_DIR").
class FlagValues {
public:
  explicit FlagValues(std::map<std::string, std::string> all) : values(std::move(all)) {}

  bool has(const std::string& name) const { return values.count(name) != 0; }
  std::string get(const std::string& name) const { return has(name) ? values.at(name) : std::string(); }
  bool isTrue(const std::string& name) const { return get(name) == "true"; }

  Option<std::string> find(const std::string& name) const {
    return has(name) ? Option<std::string>(values.at(name)) : Option<std::string>();
  }

private:
  std::map<std::string, std::string> values;
};

// The FlagsBase part of a flags object whose constructor has run. The flags classes inherit it virtually, so its
// offset stands in the vtable, `slot` bytes before the address the object points to (Itanium C++ ABI): 32 for the
// flags of master and agent, which have it through logging::Flags, 24 for a class that has no other virtual base.
flags::FlagsBase* flagsBase(void* object, std::ptrdiff_t slot);

// Says `message` on stderr and ends the process with 1, as Mesos' programs do for what the operator can mend.
[[noreturn]] void fail(const std::string& message);

// Starts the log as `flags` say, with a stack trace of its own for fatal signals if wanted.
void startLog(const char* program, bool handleFailureSignals, InPlace<mesos::internal::logging::Flags>& flags);

// Loads `flags` from MESOS_* and the command line, answers --help and --version, starts the log. Does not return
// when a flag is unknown or its value cannot be read.
FlagValues loadFlags(flags::FlagsBase* flags, const std::string& program, int argc, char** argv);

// Ends the process if one of `names` (upper case) is set: its machinery is not exported by the library, and a flag
// without effect would be worse than none.
void refuse(const FlagValues& values, std::initializer_list<const char*> names, const std::string& program);

// The text given for the flag `name` (lower case) on the command line or in the environment, as it was given. For
// values that are messages (modules, acls): what the library prints of them is not what it reads.
Option<std::string> givenText(const std::string& name, int argc, char** argv);

// Sets what libprocess reads from the environment.
void exportNetwork(const FlagValues& values);

// --modules or --modules_dir, then --hooks. Must come before whatever a module may replace is created.
void loadModules(const FlagValues& values, int argc, char** argv);

// The authorizer called `name`, or the built-in one when --acls are given; none otherwise.
Option<mesos::Authorizer*> createAuthorizer(const std::string& name, int argc, char** argv);

// The running library's process behind an object whose class inherits ProcessBase virtually.
process::ProcessBase* processBase(void* object);

// Spawns the process and waits for its end, then writes out the log.
void runToEnd(void* process);
