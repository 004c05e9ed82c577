//! A local EBS: ext4 on loop devices with attach, detach and zones behind the Docker volume plugin protocol

fn main() {}
