// mesos-containerizer: what the agent runs to become a container (`launch`), to cut mount propagation (`mount`), and to
// give a container with an image its hostname and network files (`network-cni-setup`).
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "flags.hpp"
#include "launch_info.hpp"

namespace mesos {
namespace internal {
namespace slave {

class MesosContainerizerLaunch {
public:
  struct Flags {
    Flags();
    Room<8192> room;
  };

  flags::FlagsBase* getFlags();
  int execute();

  Flags* constructFlags();

private:
  // A stout Subcommand (vptr, name, a FlagsBase of its own) and then its Flags. Neither the constructor nor anything
  // virtual of it is needed to run execute().
  static constexpr std::size_t FLAGS_BASE_BYTES = 184;
  static constexpr std::size_t FLAGS_OFFSET = sizeof(void*) + sizeof(std::string) + FLAGS_BASE_BYTES;
  Room<16384> room;
};

class NetworkCniIsolatorSetup {
public:
  NetworkCniIsolatorSetup();
  flags::FlagsBase* getFlags();
  int execute();

private:
  Room<16384> room;
};

// Null when the library finds the flags elsewhere in the object than they were constructed.
MesosContainerizerLaunch::Flags* MesosContainerizerLaunch::constructFlags() {
  auto* flags = new (room.bytes + FLAGS_OFFSET) Flags();
  return flagsBase(flags, 24) == getFlags() ? flags : nullptr;
}

}  // namespace slave
}  // namespace internal
}  // namespace mesos

namespace {

constexpr const char* PREFIX = "MESOS_CONTAINERIZER_";
constexpr const char* USAGE =
    "Usage: mesos-containerizer <subcommand> [OPTIONS]\n\nAvailable subcommands:\n    help\n    launch\n    mount\n"
    "    network-cni-setup\n";

template <typename Subcommand>
int execute(Subcommand* command, int argc, char** argv) {
  Try<flags::Warnings> load = command->getFlags()->load(Option<std::string>(PREFIX), argc, argv, false, false);
  if (load.isError()) {
    std::cerr << "Failed to parse the flags: " << load.error() << std::endl;
    return EXIT_FAILURE;
  }
  return command->execute();
}

int launch(int argc, char** argv) {
  // An image task gets /proc/sysrq-trigger made read-only. On a kernel built without CONFIG_MAGIC_SYSRQ there is no
  // such file, and the container dies for the lack of something that needs no protection.
  const char* variable = "MESOS_CONTAINERIZER_LAUNCH_INFO";
  const char* sysrq = "/proc/sysrq-trigger";
  if (const char* info = std::getenv(variable); info != nullptr && ::access(sysrq, F_OK) != 0) {
    ::setenv(variable, withoutMountsAt(info, sysrq).c_str(), 1);
  }

  auto* command = new mesos::internal::slave::MesosContainerizerLaunch();
  if (command->constructFlags() == nullptr) {
    std::cerr << "mesos-containerizer: the launch flags of this Mesos library are not where they were expected"
              << std::endl;
    return EXIT_FAILURE;
  }
  return execute(command, argc, argv);
}

int mount(int argc, char** argv) {
  const std::string operationFlag = "--operation=";
  const std::string pathFlag = "--path=";
  std::string operation;
  std::string path;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help=false") {
      // Agents before 1.5 hand over every flag, also those that are not set.
      continue;
    }
    if (argument == "--help") {
      std::cerr << "Usage: mesos-containerizer mount --operation=make-rslave --path=PATH" << std::endl;
      return EXIT_SUCCESS;
    }
    if (argument.compare(0, operationFlag.size(), operationFlag) == 0) {
      operation = argument.substr(operationFlag.size());
    } else if (argument.compare(0, pathFlag.size(), pathFlag) == 0) {
      path = argument.substr(pathFlag.size());
    } else {
      std::cerr << "Failed to parse the flags: Failed to load unknown flag '" << argument << "'" << std::endl;
      return EXIT_FAILURE;
    }
  }
  if (operation.empty()) {
    std::cerr << "Flag --operation is not specified" << std::endl;
    return EXIT_FAILURE;
  }
  if (operation != "make-rslave") {
    std::cerr << "Unsupported mount operation '" << operation << "'" << std::endl;
    return EXIT_FAILURE;
  }
  if (path.empty()) {
    std::cerr << "Flag --path is required for make-rslave" << std::endl;
    return EXIT_FAILURE;
  }
  if (::mount(nullptr, path.c_str(), nullptr, MS_SLAVE | MS_REC, nullptr) != 0) {
    std::cerr << "Failed to mark rslave with path '" << path << "': " << std::strerror(errno) << std::endl;
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string subcommand = argc > 1 ? argv[1] : "";
  if (subcommand == "launch") {
    return launch(argc - 1, argv + 1);
  }
  if (subcommand == "mount") {
    return mount(argc - 1, argv + 1);
  }
  if (subcommand == "network-cni-setup") {
    return execute(new mesos::internal::slave::NetworkCniIsolatorSetup(), argc - 1, argv + 1);
  }
  if (subcommand == "help") {
    std::cout << USAGE << std::endl;
    return EXIT_SUCCESS;
  }
  if (!subcommand.empty()) {
    std::cerr << "Subcommand '" << subcommand << "' is not available\n";
  }
  std::cerr << USAGE << std::endl;
  return EXIT_FAILURE;
}
