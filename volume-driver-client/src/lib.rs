//! A client for the Docker volume plugin protocol, with the semantics real drivers have
