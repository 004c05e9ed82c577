// mesos-agent, as its own program on the official library.
#include <cstdlib>

#include "flags.hpp"
#include "future_tracker.hpp"

namespace mesos {

namespace slave {

class ResourceEstimator {
public:
  static Try<ResourceEstimator*> create(const Option<std::string>& module);
};

class QoSController {
public:
  static Try<QoSController*> create(const Option<std::string>& module);
};

}  // namespace slave

namespace internal {
namespace slave {

class CSIServer;

class Flags {
public:
  Flags();

private:
  Room<65536> room;
};

class Fetcher {
public:
  explicit Fetcher(const Flags& flags);

private:
  Room<4096> room;
};

class GarbageCollector {
public:
  explicit GarbageCollector(const std::string& workDir);

private:
  Room<4096> room;
};

#if MESOS_MINOR < 5
#define TaskStatusUpdateManager StatusUpdateManager
#endif
class TaskStatusUpdateManager {
public:
  explicit TaskStatusUpdateManager(const Flags& flags);

private:
  Room<4096> room;
};

#if MESOS_MINOR >= 8
class VolumeGidManager {
public:
  static Try<VolumeGidManager*> create(const Flags& flags);
};
#endif

class Containerizer {
public:
  static Try<Containerizer*> create(
      const Flags& flags,
      bool local,
      Fetcher* fetcher,
#if MESOS_MINOR >= 7
      GarbageCollector* gc,
#endif
      SecretResolver* secretResolver
#if MESOS_MINOR >= 8
      ,
      VolumeGidManager* volumeGidManager
#endif
#if MESOS_MINOR >= 9
      ,
      PendingFutureTracker* futureTracker
#endif
#if MESOS_MINOR >= 11
      ,
      CSIServer* csiServer
#endif
  );
};

class Slave {
public:
  Slave(
      const std::string& id,
      const Flags& flags,
      mesos::master::detector::MasterDetector* detector,
      Containerizer* containerizer,
      Files* files,
      GarbageCollector* gc,
      TaskStatusUpdateManager* taskStatusUpdateManager,
      mesos::slave::ResourceEstimator* resourceEstimator,
      mesos::slave::QoSController* qosController,
#if MESOS_MINOR >= 5
      SecretGenerator* secretGenerator,
#endif
#if MESOS_MINOR >= 8
      VolumeGidManager* volumeGidManager,
#endif
#if MESOS_MINOR >= 9
      PendingFutureTracker* futureTracker,
#endif
#if MESOS_MINOR >= 11
      process::Owned<CSIServer>&& csiServer,
#endif
#if MESOS_MINOR >= 10
      const Option<process::network::internal::Socket<process::network::unix::Address>>& executorSocket,
#endif
      const Option<Authorizer*>& authorizer);

private:
  Room<262144> room;
};

}  // namespace slave
}  // namespace internal
}  // namespace mesos

namespace systemd {

class Flags {
public:
  Flags();

private:
  Room<4096> room;
};

bool exists();
Try<Nothing> initialize(const Flags& flags);

}  // namespace systemd

namespace {

template <typename T>
T* required(Try<T*> created, const std::string& what) {
  if (created.isError()) {
    fail("Failed to create " + what + ": " + created.error());
  }
  return created.get();
}

// Where systemd runs, executors must be moved out of the agent's own unit, or they die with it.
void initializeSystemd(const FlagValues& values) {
  if (!values.isTrue("SYSTEMD_ENABLE_SUPPORT") || !systemd::exists()) {
    return;
  }
  auto* flags = new systemd::Flags();
  Try<flags::Warnings> load = flagsBase(flags, 24)->load(
      std::map<std::string, std::string>{
          {"enabled", "true"},
          {"runtime_directory", values.get("SYSTEMD_RUNTIME_DIRECTORY")},
          {"cgroups_hierarchy", values.get("CGROUPS_HIERARCHY")}},
      false,
      Option<std::string>());
  if (load.isError()) {
    fail("Failed to initialize systemd: " + load.error());
  }
  Try<Nothing> initialized = systemd::initialize(*flags);
  if (initialized.isError()) {
    fail("Failed to initialize systemd: " + initialized.error());
  }
}

void requireMaster(const FlagValues& values) {
  if (!values.has("MASTER") && !values.has("MASTER_DETECTOR")) {
    fail("Missing required option `--master` or `--master_detector`");
  }
  if (values.has("MASTER") && values.has("MASTER_DETECTOR")) {
    fail("Only one of `--master` or `--master_detector` should be specified");
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mesos::internal::slave;  // NOLINT: this program is about nothing else

  const Option<std::string> readonly("mesos-agent-readonly");
  // The name the agent's endpoints have, as in slave(1)@127.0.0.1:5051.
  const std::string id = "slave(1)";

  auto* flags = new Flags();
  const FlagValues values = loadFlags(flagsBase(flags, 32), "mesos-agent", argc, argv);
  refuse(
      values,
      {"AGENT_SUBSYSTEMS", "FIREWALL_RULES", "JWT_SECRET_KEY", "CSI_PLUGIN_CONFIG_DIR"},
      "mesos-agent");
  if (values.isTrue("HTTP_EXECUTOR_DOMAIN_SOCKETS")) {
    fail("--http_executor_domain_sockets is not supported by this mesos-agent");
  }
  requireMaster(values);

  exportNetwork(values);
  if (!process::initialize(Option<std::string>(id), Option<std::string>("mesos-agent-readwrite"), readonly)) {
    fail("libprocess was initialized before the agent");
  }
  process::spawn(processBase(new mesos::internal::VersionProcess()), true);
  loadModules(values, argc, argv);
  initializeSystemd(values);

  auto* fetcher = new Fetcher(*flags);
  auto* gc = new GarbageCollector(values.get("WORK_DIR"));
  auto* secretResolver =
      required(mesos::SecretResolver::create(values.find("SECRET_RESOLVER")), "a secret resolver");
#if MESOS_MINOR >= 8
  VolumeGidManager* volumeGidManager =
      values.has("VOLUME_GID_RANGE") ? required(VolumeGidManager::create(*flags), "a volume gid manager") : nullptr;
#endif
#if MESOS_MINOR >= 9
  auto* futureTracker = mesos::internal::createPendingFutureTracker();
#endif

  Containerizer* containerizer = required(
      Containerizer::create(
          *flags,
          false,
          fetcher,
#if MESOS_MINOR >= 7
          gc,
#endif
          secretResolver
#if MESOS_MINOR >= 8
          ,
          volumeGidManager
#endif
#if MESOS_MINOR >= 9
          ,
          futureTracker
#endif
#if MESOS_MINOR >= 11
          ,
          nullptr
#endif
          ),
      "a containerizer");

  auto* detector = required(
      mesos::master::detector::MasterDetector::create(
          values.find("MASTER"), values.find("MASTER_DETECTOR"), Option<Duration>()),
      "a master detector");
  const Option<mesos::Authorizer*> authorizer = createAuthorizer(values.get("AUTHORIZER"), argc, argv);
  auto* files = new mesos::internal::Files(readonly, authorizer);
  auto* updates = new TaskStatusUpdateManager(*flags);
  auto* estimator =
      required(mesos::slave::ResourceEstimator::create(values.find("RESOURCE_ESTIMATOR")), "a resource estimator");
  auto* qos = required(mesos::slave::QoSController::create(values.find("QOS_CONTROLLER")), "a QoS controller");

  auto* slave = new Slave(
      id,
      *flags,
      detector,
      containerizer,
      files,
      gc,
      updates,
      estimator,
      qos,
#if MESOS_MINOR >= 5
      nullptr,
#endif
#if MESOS_MINOR >= 8
      volumeGidManager,
#endif
#if MESOS_MINOR >= 9
      futureTracker,
#endif
#if MESOS_MINOR >= 11
      process::Owned<CSIServer>(),
#endif
#if MESOS_MINOR >= 10
      Option<process::network::internal::Socket<process::network::unix::Address>>(),
#endif
      authorizer);

  runToEnd(slave);
  // Nothing is taken apart: the threads of libprocess still run, and the process ends here.
  std::_Exit(EXIT_SUCCESS);
}
