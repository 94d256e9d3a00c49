// One representative of everything that has bytes, for the golden files, the document and the tests that damage them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "millrace/message.hpp"
#include "proto/entry.hpp"
#include "proto/frame.hpp"
#include "proto/record.hpp"

namespace millrace::proto::samples {

using byte_string = std::vector<std::byte>;

struct record_sample {
    std::string name;
    message content;
    compression method = compression::none;
};

/// plain, described (key and headers), empty, lz4, zstd.
std::vector<record_sample> records();

byte_string encode(const message& m, compression method = compression::none);

/// A value other than the default in every field.
dead_origin origin();

byte_string envelope(const byte_string& record, const dead_origin& died = origin());

struct frame_sample {
    std::string name;  // of the member of wire::Message
    byte_string bytes;
};

/// One frame for each member of wire::Message, with a value other than the default in every field.
std::vector<frame_sample> frames();

/// The two batches of entry(): sequences 100 and 101..102, the second by a named producer.
std::vector<batch_header> batches();
byte_string entry();

}  // namespace millrace::proto::samples
