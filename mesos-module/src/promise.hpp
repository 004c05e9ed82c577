// The answers that Rust gives, as futures that Mesos waits for.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "cxx-bridge/include/host.hpp"
#include "messages.hpp"
#include "process.hpp"

// A future that nobody has answered yet. libprocess makes one that counts as abandoned, which only its own
// promise undoes; the agent of 1.10 and 1.11 corrupts its memory when an isolator hands it an abandoned one.
template <typename T>
process::Future<T> pending() {
  process::Future<T> future;
  future.state().abandoned = false;
  return future;
}

template <typename T>
process::Future<T> completed(const T& value) {
  process::Future<T> future = pending<T>();
  future.set(value);
  return future;
}

// From bytes to the value of a future. False when the bytes are no such message.
inline bool complete(process::Future<Nothing>& future, rust::Slice<const std::uint8_t>) {
  future.set(Nothing());
  return true;
}

inline bool complete(
    process::Future<Option<mesos::slave::ContainerLaunchInfo>>& future, rust::Slice<const std::uint8_t> bytes) {
  if (bytes.empty()) {
    future.set(None());
    return true;
  }
  mesos::slave::ContainerLaunchInfo info;
  if (!asMessage(info).ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  future.set(info);
  return true;
}

inline bool complete(
    process::Future<mesos::slave::ContainerLimitation>& future, rust::Slice<const std::uint8_t> bytes) {
  mesos::slave::ContainerLimitation limitation;
  if (!asMessage(limitation).ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  future.set(limitation);
  return true;
}

// What becomes of a future whose answer never comes.
enum class Unanswered {
  FAILS,
  STAYS_PENDING,
};

// One future to be answered. The future itself knows whether it was: a second answer does nothing.
template <typename T, Unanswered UNANSWERED = Unanswered::FAILS>
class Promise : public external_volumes::Answer {
public:
  explicit Promise(process::Future<T> answered) : future(std::move(answered)) {}

  ~Promise() override {
    if (UNANSWERED == Unanswered::FAILS) {
      future.fail("The external volumes module gave no answer; the agent's log says why");
    }
  }

  void ready(rust::Slice<const std::uint8_t> message) const override {
    if (!complete(future, message)) {
      future.fail("The external volumes module gave an answer that Mesos cannot read");
    }
  }

  void fail(rust::Str reason) const override { future.fail(std::string(reason)); }

private:
  mutable process::Future<T> future;
};
