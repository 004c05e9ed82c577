// Mesos' messages: never looked into, only made, copied, destroyed, and turned into bytes and back.
#pragma once

#include <cstddef>

#include "process.hpp"
#include "protobuf.hpp"

namespace mesos {

// Room for a message of the library. More than any release needs, for those that the shim makes itself (the largest is
// 408 bytes in 1.11); the constructor that fills it is the library's.
constexpr std::size_t ROOM = 1024;

class ContainerID;
class Parameters;
class Resource;
class Value_Scalar;

// Not a message: a set of `Resource`s, in a container that changed over the releases. The conversion did not.
class Resources {
public:
  operator google::protobuf::RepeatedPtrField<Resource>() const;
};

class ResourceStatistics {
public:
  ResourceStatistics();
  ResourceStatistics(const ResourceStatistics&);
  ~ResourceStatistics();

private:
  alignas(8) unsigned char room[ROOM];
};

class ContainerStatus {
public:
  ContainerStatus();
  ContainerStatus(const ContainerStatus&);
  ~ContainerStatus();

private:
  alignas(8) unsigned char room[ROOM];
};

// Environments for a Docker container. None is ever given.
class DockerTaskExecutorPrepareInfo {
public:
  DockerTaskExecutorPrepareInfo();
  DockerTaskExecutorPrepareInfo(const DockerTaskExecutorPrepareInfo&);
  ~DockerTaskExecutorPrepareInfo();

private:
  alignas(8) unsigned char room[ROOM];
};

namespace slave {

class ContainerConfig;

class ContainerState {
public:
  ContainerState();
  ~ContainerState();

private:
  alignas(8) unsigned char room[ROOM];
};

class ContainerLaunchInfo {
public:
  ContainerLaunchInfo();
  ContainerLaunchInfo(const ContainerLaunchInfo&);
  ~ContainerLaunchInfo();

private:
  alignas(8) unsigned char room[ROOM];
};

class ContainerLimitation {
public:
  ContainerLimitation();
  ContainerLimitation(const ContainerLimitation&);
  ~ContainerLimitation();

private:
  alignas(8) unsigned char room[ROOM];
};

}  // namespace slave
}  // namespace mesos

// Any message by its base. The types above do not derive from it here, so that their size stays room and nothing else.
template <typename Message>
const google::protobuf::MessageLite& asMessage(const Message& message) {
  return reinterpret_cast<const google::protobuf::MessageLite&>(message);
}

template <typename Message>
google::protobuf::MessageLite& asMessage(Message& message) {
  return reinterpret_cast<google::protobuf::MessageLite&>(message);
}
