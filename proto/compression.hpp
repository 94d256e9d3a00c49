// Compression of one payload. Private to record.cpp; the libraries are named in compression.cpp alone.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proto/record.hpp"

namespace millrace::proto {

/// Compresses payloads one after another and keeps its memory between them. One thread at a time.
class compressor {
public:
    compressor();
    ~compressor();

    /// The compressed payload, valid until the next call; empty when it would not make the record smaller.
    std::span<const std::byte> compress(compression method, std::string_view payload);

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// Decompresses into `out`, whose size says how many bytes it must give. False when it gives another number or is damaged.
/// REQUIRES: method is lz4 or zstd; out.size() was held against a limit.
bool decompress(compression method, std::span<const std::byte> compressed, std::string& out);

}  // namespace millrace::proto
