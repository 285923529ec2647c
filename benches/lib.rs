//! Nothing: the benchmarks beside this file are programs. Cargo wants a library or a program in each package.
