// The golden files: bytes that every later version must read. With MILLRACE_REWRITE_GOLDEN=1 in the environment they are written anew;
// a difference in a released one is a broken promise, not a file to refresh.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace millrace::proto::golden {

/// `name` is a path inside tests/proto/golden.
std::vector<std::byte> read(const std::string& name);

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

/// Writes the file when it is to be rewritten.
void rewrite(const std::string& name, const std::vector<std::byte>& bytes);
bool rewriting();

/// Fails the test when the file holds anything else.
void require_same(const std::string& name, const std::vector<std::byte>& bytes);

std::string path_of(const std::string& name);

}  // namespace millrace::proto::golden
