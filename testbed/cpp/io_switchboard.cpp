// mesos-io-switchboard: what the agent puts between a container and whoever attaches to its input and output. A
// container with a terminal has one, and so has every LAUNCH_NESTED_CONTAINER_SESSION.
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "flags.hpp"

namespace mesos {
namespace internal {
namespace slave {

class IOSwitchboardServer {
public:
  struct Flags {
    Flags();
    Room<8192> room;
  };

  static Try<process::Owned<IOSwitchboardServer>> create(
      bool tty,
      int stdinToFd,
      int stdoutFromFd,
      int stdoutToFd,
      int stderrFromFd,
      int stderrToFd,
      const std::string& socketPath,
      bool waitForConnection,
      Option<Duration> heartbeatInterval);

  process::Future<Nothing> run();
  process::Future<Nothing> unblock();
};

}  // namespace slave
}  // namespace internal
}  // namespace mesos

namespace process {

template <>
class Future<Nothing> {
public:
  bool await(const Duration& limit) const;

  // The first bytes of what the pointer points to: a lock, then the state at offset 4.
  bool isReady() const {
    constexpr std::int32_t READY = 1;
    return static_cast<const std::int32_t*>(data.get())[1] == READY;
  }

private:
  std::shared_ptr<void> data;
};

}  // namespace process

namespace {

int descriptor(const FlagValues& values, const char* name) {
  if (!values.has(name)) {
    fail(std::string("'") + name + "' is missing");
  }
  return std::stoi(values.get(name));
}

}  // namespace

int main(int argc, char** argv) {
  using mesos::internal::slave::IOSwitchboardServer;

  auto* flags = flagsBase(new IOSwitchboardServer::Flags(), 24);
  Try<flags::Warnings> load = flags->load(Option<std::string>(), argc, argv, false, false);
  const FlagValues values(flags->buildEnvironment(Option<std::string>()));
  if (values.isTrue("HELP")) {
    std::cout << flags->usage(Option<std::string>()) << std::endl;
    return EXIT_SUCCESS;
  }
  if (load.isError()) {
    fail(flags->usage(Option<std::string>(load.error())));
  }
  if (!values.has("SOCKET_ADDRESS")) {
    fail("'--socket_address' is missing");
  }
  auto& logFlags = *new InPlace<mesos::internal::logging::Flags>();
  startLog(argv[0], false, logFlags);

  // SIGTERM ends it in order, without waiting for a connection any longer. Blocked here, before any thread is started,
  // so that only the thread that waits for it gets it.
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);

  const Option<Duration> heartbeat = values.has("HEARTBEAT_INTERVAL")
      ? Option<Duration>(flags::fetch<Duration>(values.get("HEARTBEAT_INTERVAL")).get())
      : Option<Duration>();
  Try<process::Owned<IOSwitchboardServer>> server = IOSwitchboardServer::create(
      values.isTrue("TTY"),
      descriptor(values, "STDIN_TO_FD"),
      descriptor(values, "STDOUT_FROM_FD"),
      descriptor(values, "STDOUT_TO_FD"),
      descriptor(values, "STDERR_FROM_FD"),
      descriptor(values, "STDERR_TO_FD"),
      values.get("SOCKET_ADDRESS"),
      values.isTrue("WAIT_FOR_CONNECTION"),
      heartbeat);
  if (server.isError()) {
    fail("Failed to create the io switchboard server: " + server.error());
  }

  IOSwitchboardServer* switchboard = *server.get().data;
  std::thread([switchboard, terminate] {
    int signal = 0;
    sigwait(&terminate, &signal);
    switchboard->unblock();
  }).detach();

  const process::Future<Nothing> run = switchboard->run();
  run.await(Duration(-1000000000));  // no limit
  if (!run.isReady()) {
    fail("The io switchboard server failed");
  }
  google::FlushLogFiles(0);
  std::_Exit(EXIT_SUCCESS);
}
