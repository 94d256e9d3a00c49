// Tables of the wire to inputs of the core, and answers of the core to tables.
#pragma once

#include <optional>
#include <vector>

#include "broker/core/effect.hpp"
#include "broker/core/input.hpp"
#include "proto/frame.hpp"

namespace millrace::server {

/// The input that a request frame stands for; nullopt for messages that are no such request.
std::optional<core::any_input> to_input(core::origin from, const wire::Frame& frame);

/// Appends the frame that answers `a` to `out`. `level` is what Published promises.
void append_answer(flatbuffers::FlatBufferBuilder& builder, const core::answer& a, durability level, std::vector<std::byte>& out);

}  // namespace millrace::server
