#include "flags.hpp"

#include <cstdlib>
#include <cstring>
#include <iostream>

namespace {

std::ptrdiff_t virtualBaseOffset(const void* object, std::ptrdiff_t slot) {
  const char* vtable = nullptr;
  std::memcpy(&vtable, object, sizeof(vtable));
  std::ptrdiff_t offset = 0;
  std::memcpy(&offset, vtable - slot, sizeof(offset));
  return offset;
}

void exportVariable(const char* variable, const Option<std::string>& value) {
  if (value.isSome()) {
    ::setenv(variable, value.get().c_str(), 1);
  }
}

std::string trimmed(const std::string& text) {
  const char* blank = " \t\r\n";
  std::size_t first = text.find_first_not_of(blank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

// The first line of what `command` prints, for --ip_discovery_command.
std::string outputOf(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    fail("Cannot run --ip_discovery_command '" + command + "': " + std::strerror(errno));
  }
  std::string output;
  char buffer[256];
  while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) {
    output += buffer;
  }
  if (::pclose(pipe) != 0) {
    fail("--ip_discovery_command '" + command + "' failed");
  }
  return trimmed(output);
}

}  // namespace

flags::FlagsBase* flagsBase(void* object, std::ptrdiff_t slot) {
  return reinterpret_cast<flags::FlagsBase*>(static_cast<char*>(object) + virtualBaseOffset(object, slot));
}

process::ProcessBase* processBase(void* object) {
  return reinterpret_cast<process::ProcessBase*>(static_cast<char*>(object) + virtualBaseOffset(object, 24));
}

void fail(const std::string& message) {
  google::FlushLogFiles(0);
  std::cerr << message << std::endl;
  std::_Exit(EXIT_FAILURE);
}

void startLog(const char* program, bool handleFailureSignals, InPlace<mesos::internal::logging::Flags>& flags) {
#if MESOS_MINOR >= 5
  mesos::internal::logging::initialize(program, handleFailureSignals, flags.asOption());
#else
  mesos::internal::logging::initialize(program, flags.get(), handleFailureSignals);
#endif
}

FlagValues loadFlags(flags::FlagsBase* flags, const std::string& program, int argc, char** argv) {
  Try<flags::Warnings> load = flags->load(Option<std::string>("MESOS_"), argc, argv, false, false);
  FlagValues values(flags->buildEnvironment(Option<std::string>()));

  if (values.isTrue("HELP")) {
    std::cout << flags->usage(Option<std::string>()) << std::endl;
    std::_Exit(EXIT_SUCCESS);
  }
  if (values.isTrue("VERSION")) {
    std::cout << "mesos " << MESOS_VERSION << std::endl;
    std::_Exit(EXIT_SUCCESS);
  }
  if (load.isError()) {
    fail(load.error() + "\n\nSee `" + program + " --help` for a list of supported flags.");
  }

  // The log's flags are part of the program's, but the class is not copyable from outside: read them once more
  // into an object of their own, passing over the flags it does not know.
  auto& logFlags = *new InPlace<mesos::internal::logging::Flags>();
  Try<flags::Warnings> again =
      flagsBase(&logFlags.get(), 24)->load(Option<std::string>("MESOS_"), argc, argv, true, false);
  if (again.isError()) {
    fail(again.error());
  }
  startLog(argv[0], true, logFlags);

  for (const flags::Warning& warning : load.get().warnings) {
    std::cerr << "WARNING: " << warning.message << std::endl;
  }
  return values;
}

void refuse(const FlagValues& values, std::initializer_list<const char*> names, const std::string& program) {
  for (const char* name : names) {
    if (values.has(name)) {
      std::string flag(name);
      for (char& letter : flag) {
        letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
      }
      fail("--" + flag + " is not supported by this " + program + ": the official library does not export what it needs");
    }
  }
}

Option<std::string> givenText(const std::string& name, int argc, char** argv) {
  const std::string start = "--" + name + "=";
  Option<std::string> none;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]).compare(0, start.size(), start) == 0) {
      return Option<std::string>(std::string(argv[i]).substr(start.size()));
    }
  }
  std::string upper = "MESOS_" + name;
  for (char& letter : upper) {
    letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  for (const std::string& variable : {upper, "MESOS_" + name}) {
    if (const char* value = std::getenv(variable.c_str())) {
      return Option<std::string>(std::string(value));
    }
  }
  return none;
}

void exportNetwork(const FlagValues& values) {
  for (const char* family : {"IP", "IP6"}) {
    std::string command = std::string(family) + "_DISCOVERY_COMMAND";
    std::string variable = std::string("LIBPROCESS_") + family;
    if (values.has(command) && values.has(family)) {
      fail("Only one of --ip and --ip_discovery_command (--ip6 and --ip6_discovery_command) should be specified");
    }
    if (values.has(command)) {
      exportVariable(variable.c_str(), Option<std::string>(outputOf(values.get(command))));
    } else {
      exportVariable(variable.c_str(), values.find(family));
    }
  }
  exportVariable("LIBPROCESS_PORT", values.find("PORT"));
  exportVariable("LIBPROCESS_ADVERTISE_IP", values.find("ADVERTISE_IP"));
  exportVariable("LIBPROCESS_ADVERTISE_PORT", values.find("ADVERTISE_PORT"));
  exportVariable("LIBPROCESS_MEMORY_PROFILING", values.find("MEMORY_PROFILING"));
}

void loadModules(const FlagValues& values, int argc, char** argv) {
  if (values.has("MODULES") && values.has("MODULES_DIR")) {
    fail("Only one of --modules and --modules_dir should be specified");
  }
  if (values.has("MODULES_DIR")) {
    Try<Nothing> loaded = mesos::modules::ModuleManager::load(values.get("MODULES_DIR"));
    if (loaded.isError()) {
      fail("Error loading modules: " + loaded.error());
    }
  }
  if (values.has("MODULES")) {
    Option<std::string> text = givenText("modules", argc, argv);
    auto& modules = forever([&] { return flags::fetch<mesos::Modules>(text.get()); });
    Try<Nothing> loaded = mesos::modules::ModuleManager::loadManifest(modules.get());
    if (loaded.isError()) {
      fail("Error loading modules: " + loaded.error());
    }
  }
  if (values.has("HOOKS")) {
    Try<Nothing> hooks = mesos::internal::HookManager::initialize(values.get("HOOKS"));
    if (hooks.isError()) {
      fail("Error installing hooks: " + hooks.error());
    }
  }
}

Option<mesos::Authorizer*> createAuthorizer(const std::string& name, int argc, char** argv) {
  Option<std::string> acls = givenText("acls", argc, argv);
  if (name == "local" && acls.isNone()) {
    return Option<mesos::Authorizer*>();
  }
  Try<mesos::Authorizer*> authorizer = name == "local"
      ? mesos::Authorizer::create(forever([&] { return flags::fetch<mesos::ACLs>(acls.get()); }).get())
      : mesos::Authorizer::create(name);
  if (authorizer.isError()) {
    fail("Could not create '" + name + "' authorizer: " + authorizer.error());
  }
#if MESOS_MINOR >= 8
  using mesos::authorization::createAuthorizationCallbacks;
#else
  using mesos::createAuthorizationCallbacks;
#endif
  auto& callbacks = forever([&] { return createAuthorizationCallbacks(authorizer.get()); });
  process::http::authorization::setCallbacks(callbacks);
  return Option<mesos::Authorizer*>(authorizer.get());
}

void runToEnd(void* process) {
  const process::UPID pid = process::spawn(processBase(process), false);
  process::wait(pid, Duration(-1000000000));  // no limit
  google::FlushLogFiles(0);
}
