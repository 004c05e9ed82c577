// libprocess' future, by its layout and by the members that every official build exports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "stout.hpp"

namespace process {

class Text;

// One shared_ptr to the shared state. Copies are one future; `set` and `fail` take a lock inside, may be called from any
// thread, and return false when the future is complete already. Both run the waiters' callbacks before they return.
template <typename T>
class Future {
public:
  Future();

  // Completed from the start.
  template <typename U>
  explicit Future(const U& value);

  bool set(const T& value);
  bool fail(const std::string& message);
  const T& get() const;
  // A std::string. The type is hidden because its name in a result would become part of this
  // function's own, which it is not in the library.
  const Text& failure() const;

  // What `set` is made of.
  template <typename U>
  bool _set(U&& value);

  // The first bytes of the shared state; what follows depends on T and is the library's business. 1.4 has padding where
  // the others have `abandoned`.
  struct State {
    static constexpr std::int32_t PENDING = 0;
    static constexpr std::int32_t READY = 1;
    static constexpr std::int32_t FAILED = 2;

    bool lock;
    std::int32_t state;
    bool discard;
    bool associated;
    bool abandoned;
  };

  State& state() { return *static_cast<State*>(data.get()); }

private:
  std::shared_ptr<void> data;
};

static_assert(sizeof(Future<Nothing>) == 16, "a future is one shared_ptr");
static_assert(offsetof(Future<Nothing>::State, abandoned) == 10, "as seen in 1.5 to 1.11");

}  // namespace process
