// What differs between the releases of Mesos that the module runs on. The testbed's `abi` command prints it beside what it
// finds in a library; docs/porting.md says how to add a release.
#pragma once

#include <cstddef>

// The virtual functions of `mesos::slave::Isolator`, and what recover() is handed.
enum class Shape {
  LIST,        // 1.4: recover() gets a std::list
  STANDALONE,  // 1.5: supportsStandalone() is new, in the middle of the table
  VECTOR,      // 1.7: recover() gets a std::vector
  LIMITS,      // 1.10: update() also gets limits
};

struct Release {
  // The N of 1.N.x. The interface did not change within any of them.
  int minor;
  Shape shape;
  // A default-constructed future counts as abandoned; before that was thought of there is nothing at that place.
  bool futuresCanBeAbandoned;
  // Whether the hook interface has masterLaunchTaskResourceDecorator as its second function.
  bool hooksDecorateResources;
  // sizeof(mesos::slave::ContainerState), the one message of which several lie side by side. For the reader: the module
  // asks the library.
  std::size_t containerState;
};

constexpr Release RELEASES[] = {
    {4, Shape::LIST, false, false, 56},
    {5, Shape::STANDALONE, true, false, 56},
    {6, Shape::STANDALONE, true, false, 56},
    {7, Shape::VECTOR, true, false, 56},
    {8, Shape::VECTOR, true, true, 56},
    {9, Shape::VECTOR, true, true, 88},
    {10, Shape::LIMITS, true, true, 88},
    {11, Shape::LIMITS, true, true, 88},
};

constexpr const char* OLDEST_KNOWN = "1.4";
constexpr const char* NEWEST_KNOWN = "1.11";
// What the descriptor says to a release that is not known, which then refuses the module.
constexpr const char* NEWEST_TESTED = "1.11.0";

// The entry of a release as Mesos prints it ("1.7.3"); null when there is none. Anything but three numbers is no release.
inline const Release* findRelease(const char* version) {
  int numbers[3] = {0, 0, 0};
  for (int i = 0; i < 3; ++i) {
    if (*version < '0' || *version > '9') {
      return nullptr;
    }
    while (*version >= '0' && *version <= '9' && numbers[i] < 1000) {
      numbers[i] = numbers[i] * 10 + (*version++ - '0');
    }
    if (*version++ != (i < 2 ? '.' : '\0')) {
      return nullptr;
    }
  }
  for (const Release& release : RELEASES) {
    if (numbers[0] == 1 && numbers[1] == release.minor) {
      return &release;
    }
  }
  return nullptr;
}

// Libmesos has one isolator with the whole interface, the base of all its own ones. Its virtual table, and the symbols
// of its functions, whose mangled names tell their parameters:
constexpr const char* VIRTUAL_TABLE = "_ZTVN5mesos8internal5slave13MesosIsolatorE";

#define MEMBER(name) "_ZN5mesos8internal5slave13MesosIsolator" name
#define OF_CONTAINER "ERKNS_11ContainerIDE"
#define ORPHANS_LIST "ERK7hashsetINS_11ContainerIDESt4hashISC_ESt8equal_toISC_EE"
#define ORPHANS_VECTOR "ERK7hashsetINS_11ContainerIDESt4hashISB_ESt8equal_toISB_EE"

constexpr const char* DESTROYED = MEMBER("D1Ev");
constexpr const char* DELETED = MEMBER("D0Ev");
constexpr const char* SUPPORTS_NESTING = MEMBER("15supportsNestingEv");
constexpr const char* SUPPORTS_STANDALONE = MEMBER("18supportsStandaloneEv");
constexpr const char* RECOVER_LIST =
    MEMBER("7recoverERKNSt7__cxx114listINS_5slave14ContainerStateESaIS6_EE" ORPHANS_LIST);
constexpr const char* RECOVER_VECTOR = MEMBER("7recoverERKSt6vectorINS_5slave14ContainerStateESaIS5_E" ORPHANS_VECTOR);
constexpr const char* PREPARE = MEMBER("7prepareERKNS_11ContainerIDERKNS_5slave15ContainerConfigE");
constexpr const char* ISOLATE = MEMBER("7isolateERKNS_11ContainerIDEi");
constexpr const char* WATCH = MEMBER("5watch" OF_CONTAINER);
constexpr const char* UPDATE = MEMBER("6updateERKNS_11ContainerIDERKNS_9ResourcesE");
constexpr const char* UPDATE_LIMITS = MEMBER(
    "6updateERKNS_11ContainerIDERKNS_9ResourcesE"
    "RKN6google8protobuf3MapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEENS_12Value_ScalarEEE");
constexpr const char* USAGE = MEMBER("5usage" OF_CONTAINER);
constexpr const char* STATUS = MEMBER("6status" OF_CONTAINER);
constexpr const char* CLEANUP = MEMBER("7cleanup" OF_CONTAINER);

#undef MEMBER
#undef OF_CONTAINER
#undef ORPHANS_LIST
#undef ORPHANS_VECTOR

// The functions of a shape in the order of the table, null behind the last.
constexpr std::size_t MOST_FUNCTIONS = 12;
struct Functions {
  const char* symbols[MOST_FUNCTIONS + 1];
};

constexpr Functions functionsOf(Shape shape) {
  Functions functions = {};
  std::size_t count = 0;
  functions.symbols[count++] = DESTROYED;
  functions.symbols[count++] = DELETED;
  functions.symbols[count++] = SUPPORTS_NESTING;
  if (shape != Shape::LIST) {
    functions.symbols[count++] = SUPPORTS_STANDALONE;
  }
  functions.symbols[count++] = shape == Shape::LIST || shape == Shape::STANDALONE ? RECOVER_LIST : RECOVER_VECTOR;
  functions.symbols[count++] = PREPARE;
  functions.symbols[count++] = ISOLATE;
  functions.symbols[count++] = WATCH;
  functions.symbols[count++] = shape == Shape::LIMITS ? UPDATE_LIMITS : UPDATE;
  functions.symbols[count++] = USAGE;
  functions.symbols[count++] = STATUS;
  functions.symbols[count++] = CLEANUP;
  return functions;
}
