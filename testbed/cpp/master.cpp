// mesos-master, as its own program on the official library.
#include <cstdlib>
#include <sys/stat.h>
#include <cerrno>
#include <cstring>

#include "flags.hpp"

namespace mesos {

namespace log {
class Log {
public:
  Log(int quorum,
      const std::string& path,
      const std::set<process::UPID>& pids,
      bool autoInitialize,
      const Option<std::string>& metricsPrefix);

private:
  Room<4096> room;
};
}  // namespace log

namespace state {

class Storage;

class InMemoryStorage {
public:
  InMemoryStorage();

private:
  Room<1024> room;
};

class LogStorage {
public:
  LogStorage(log::Log* log, std::size_t diffsBetweenSnapshots);

private:
  Room<1024> room;
};

// Inline in Mesos' own headers: one virtual destructor and the storage.
class State {
public:
  explicit State(Storage* storage_) : storage(storage_) {}
  virtual ~State() = default;

private:
  Storage* storage;
};

}  // namespace state

namespace allocator {
class Allocator;
}

namespace master {
namespace contender {

class MasterContender {
public:
  static Try<MasterContender*> create(
      const Option<std::string>& zk, const Option<std::string>& module, const Option<Duration>& timeout);
  virtual ~MasterContender();
  virtual void initialize(const MasterInfo& info) = 0;
  virtual process::Future<process::Future<Nothing>> contend() = 0;
};

}  // namespace contender

namespace detector {

class StandaloneMasterDetector : public MasterDetector {
public:
  void appoint(const Option<MasterInfo>& leader);
};

}  // namespace detector
}  // namespace master

namespace internal {
namespace master {

class Flags {
public:
  Flags();

private:
  Room<65536> room;
};

namespace allocator {

class DRFSorter;

#if MESOS_MINOR >= 9
template <typename RoleSorter, typename FrameworkSorter>
class HierarchicalAllocatorProcess;

using Drf = HierarchicalAllocatorProcess<DRFSorter, DRFSorter>;
#else
template <typename RoleSorter, typename FrameworkSorter, typename QuotaRoleSorter>
class HierarchicalAllocatorProcess;

using Drf = HierarchicalAllocatorProcess<DRFSorter, DRFSorter, DRFSorter>;
#endif

// Each release exports the one or the other.
template <typename Process>
class MesosAllocator {
public:
  MesosAllocator();
  static Try<mesos::allocator::Allocator*> create();

private:
  Room<256> room;
};

}  // namespace allocator

class Registrar {
public:
  Registrar(const Flags& flags, mesos::state::State* state, const Option<std::string>& realm);

private:
  Room<256> room;
};

class Master {
public:
  Master(
      mesos::allocator::Allocator* allocator,
      Registrar* registrar,
      Files* files,
      mesos::master::contender::MasterContender* contender,
      mesos::master::detector::MasterDetector* detector,
      const Option<Authorizer*>& authorizer,
      const Option<std::shared_ptr<process::RateLimiter>>& slaveRemovalLimiter,
      const Flags& flags);

private:
  Room<262144> room;
};

}  // namespace master
}  // namespace internal
}  // namespace mesos

namespace {

using mesos::master::contender::MasterContender;
using mesos::master::detector::MasterDetector;
using mesos::master::detector::StandaloneMasterDetector;

// A master without ZooKeeper is appointed leader by its own program, which needs the master's MasterInfo. That is a
// member at an offset that changes with the release; but the master hands it to its contender, so look there.
class AppointingContender : public MasterContender {
public:
  AppointingContender(MasterContender* contender_, StandaloneMasterDetector* detector_)
    : contender(contender_), detector(detector_) {}

  void initialize(const mesos::MasterInfo& info) override {
    contender->initialize(info);
    detector->appoint(Option<mesos::MasterInfo>(info));
  }

  process::Future<process::Future<Nothing>> contend() override { return contender->contend(); }

private:
  MasterContender* contender;
  StandaloneMasterDetector* detector;
};

void makeFolders(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) {
      fail("Failed to create work directory '" + path + "': " + std::strerror(errno));
    }
    if (end == std::string::npos) {
      return;
    }
  }
}

mesos::state::Storage* createStorage(const FlagValues& values) {
  if (values.get("REGISTRY") == "in_memory") {
    return reinterpret_cast<mesos::state::Storage*>(new mesos::state::InMemoryStorage());
  }
  if (values.get("REGISTRY") != "replicated_log") {
    fail("'" + values.get("REGISTRY") + "' is not a supported option for registry persistence");
  }
  if (!values.has("WORK_DIR")) {
    fail("--work_dir needed for replicated log based registry");
  }
  makeFolders(values.get("WORK_DIR"));
  auto* log = new mesos::log::Log(
      1,
      values.get("WORK_DIR") + "/replicated_log",
      std::set<process::UPID>(),
      values.isTrue("LOG_AUTO_INITIALIZE"),
      Option<std::string>("registrar/"));
  return reinterpret_cast<mesos::state::Storage*>(new mesos::state::LogStorage(log, 0));
}

mesos::allocator::Allocator* createAllocator(const FlagValues& values) {
  using namespace mesos::internal::master::allocator;  // NOLINT: five long names in one line
  const std::string name = values.get("ALLOCATOR");
  if (name != "hierarchical" && name != "HierarchicalDRF") {
    fail("--allocator=" + name + " is not supported by this mesos-master, only 'hierarchical'");
  }
  for (const char* sorter : {"ROLE_SORTER", "FRAMEWORK_SORTER"}) {
    if (values.get(sorter) != "drf") {
      fail("Only the 'drf' sorter is supported by this mesos-master");
    }
  }
#if MESOS_MINOR >= 9
  return reinterpret_cast<mesos::allocator::Allocator*>(new MesosAllocator<Drf>());
#else
  Try<mesos::allocator::Allocator*> allocator = MesosAllocator<Drf>::create();
  if (allocator.isError()) {
    fail("Failed to create an allocator: " + allocator.error());
  }
  return allocator.get();
#endif
}

}  // namespace

int main(int argc, char** argv) {
  using mesos::internal::master::Master;
  using mesos::internal::master::Registrar;

  const Option<std::string> readonly("mesos-master-readonly");
  const Option<std::string> none;

  auto* flags = new mesos::internal::master::Flags();
  const FlagValues values = loadFlags(flagsBase(flags, 32), "mesos-master", argc, argv);
  refuse(
      values,
      {"ZK", "MASTER_CONTENDER", "MASTER_DETECTOR", "FIREWALL_RULES", "AGENT_REMOVAL_RATE_LIMIT"},
      "mesos-master");

  exportNetwork(values);
  if (!process::initialize(Option<std::string>("master"), Option<std::string>("mesos-master-readwrite"), readonly)) {
    fail("libprocess was initialized before the master");
  }
  process::spawn(processBase(new mesos::internal::VersionProcess()), true);
  loadModules(values, argc, argv);

  mesos::allocator::Allocator* allocator = createAllocator(values);
  auto* registrar = new Registrar(*flags, new mesos::state::State(createStorage(values)), readonly);

  Try<MasterContender*> contender = MasterContender::create(none, none, Option<Duration>());
  if (contender.isError()) {
    fail("Failed to create a master contender: " + contender.error());
  }
  Try<MasterDetector*> detector = MasterDetector::create(none, none, Option<Duration>());
  if (detector.isError()) {
    fail("Failed to create a master detector: " + detector.error());
  }

  const Option<mesos::Authorizer*> authorizer = createAuthorizer(values.get("AUTHORIZERS"), argc, argv);
  auto* files = new mesos::internal::Files(readonly, authorizer);

  auto* master = new Master(
      allocator,
      registrar,
      files,
      new AppointingContender(contender.get(), static_cast<StandaloneMasterDetector*>(detector.get())),
      detector.get(),
      authorizer,
      Option<std::shared_ptr<process::RateLimiter>>(),
      *flags);

  runToEnd(master);
  // Nothing is taken apart: the threads of libprocess still run, and the process ends here.
  std::_Exit(EXIT_SUCCESS);
}
