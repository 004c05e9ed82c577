#include "future_tracker.hpp"

// Mesos has it since 1.9.
#if MESOS_MINOR >= 9

#include <list>
#include <map>
#include <string>

#include "mesos.hpp"

namespace process {

struct Event;
struct MessageEvent;
struct DispatchEvent;
struct HttpEvent;
struct ExitedEvent;
struct TerminateEvent;

// The order of the virtual functions is the library's; their bodies are too.
struct EventConsumer {
  virtual ~EventConsumer() {}
  virtual void consume(MessageEvent&&) {}
  virtual void consume(DispatchEvent&&) {}
  virtual void consume(HttpEvent&&) {}
  virtual void consume(ExitedEvent&&) {}
  virtual void consume(TerminateEvent&&) {}
};

class ProcessBase : public EventConsumer {
public:
  explicit ProcessBase(const std::string& id = "");
  ~ProcessBase() override;
  virtual void serve(Event&& event);
  void consume(MessageEvent&& event) override;
  void consume(DispatchEvent&& event) override;
  void consume(HttpEvent&& event) override;
  void consume(ExitedEvent&& event) override;
  void consume(TerminateEvent&& event) override;
  virtual void initialize();
  virtual void finalize();
  virtual void exited(const UPID& pid);
  virtual void lost(const UPID& pid);

private:
  Room<4096> room;
};

template <typename T>
class Process : public virtual ProcessBase {
public:
  ~Process() override {}
};

namespace ID {
std::string generate(const std::string& prefix);
}

}  // namespace process

namespace mesos {
namespace internal {

struct FutureMetadata {
  std::string operation;
  std::string component;
  std::map<std::string, std::string> arguments;
};

// The library's code adds to `pending` and takes from it; it finds the list behind the pointer to the virtual functions.
class PendingFutureTrackerProcess : public process::Process<PendingFutureTrackerProcess> {
public:
  PendingFutureTrackerProcess() : ProcessBase(process::ID::generate("pending-future-tracker")) {}

private:
  std::list<FutureMetadata> pending;
};

class PendingFutureTracker {
public:
  explicit PendingFutureTracker(PendingFutureTrackerProcess* process_)
    : process{std::make_shared<PendingFutureTrackerProcess*>(process_)} {}

private:
  process::Owned<PendingFutureTrackerProcess> process;
};

PendingFutureTracker* createPendingFutureTracker() {
  auto* process = new PendingFutureTrackerProcess();
  process::spawn(process, false);
  return new PendingFutureTracker(process);
}

}  // namespace internal
}  // namespace mesos

#endif
