// The few value types of stout that cross the boundary of libmesos, declared by their layout and nothing else.
//
// Layouts as seen in the official builds of Mesos 1.4 to 1.11 (GCC 5.4, C++11 string ABI, x86-64). Every one of
// them is checked at load before it is relied on; see `layout.hpp` of the module.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>

struct Nothing {};

struct None {};

// One message. `Failure` in libprocess has the same shape.
class Error {
public:
  explicit Error(std::string text) : message(std::move(text)) {}
  std::string message;
};

// {state, storage}: 0 is SOME, 1 is NONE; the value lies at its own alignment.
template <typename T>
class Option {
public:
  Option() : state(NONE) {}
  Option(const None&) : state(NONE) {}  // NOLINT: implicit as in stout
  Option(const T& value) : state(SOME) { new (&storage) T(value); }  // NOLINT
  Option(const Option& that) : state(that.state) {
    if (that.isSome()) {
      new (&storage) T(that.get());
    }
  }
  Option& operator=(const Option&) = delete;
  ~Option() {
    if (isSome()) {
      get().~T();
    }
  }

  bool isSome() const { return state == SOME; }
  bool isNone() const { return state == NONE; }
  T& get() { return *reinterpret_cast<T*>(&storage); }
  const T& get() const { return *reinterpret_cast<const T*>(&storage); }

private:
  enum State : std::int32_t { SOME = 0, NONE = 1 };
  State state;
  alignas(T) unsigned char storage[sizeof(T)];
};

// {Option<value>, Option<error>}: exactly one of them is set.
template <typename T, typename E = Error>
class Try {
public:
  bool isError() const { return failure.isSome(); }
  T& get() { return value.get(); }
  const T& get() const { return value.get(); }
  const std::string& error() const { return failure.get().message; }

private:
  Option<T> value;
  Option<E> failure;
};

// One 64-bit count of nanoseconds.
class Duration {
public:
  explicit Duration(std::int64_t nanoseconds) : nanos(nanoseconds) {}
  std::int64_t ns() const { return nanos; }

private:
  std::int64_t nanos;
};
