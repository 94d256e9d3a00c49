// Bytes on their way to the socket: frame heads and small frames end to end in one buffer, bodies where the batches were encoded.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace millrace::client {

/// The records of one batch. Shared by the batch until it is answered and by the write under way: each may end first.
using record_buffer = std::shared_ptr<std::vector<std::byte>>;

struct outgoing {
    struct body {
        std::size_t after;  // follows this many bytes of `heads`
        record_buffer records;
    };

    std::vector<std::byte> heads;
    std::vector<body> bodies;

    bool empty() const noexcept { return heads.empty(); }

    /// Keeps the memory of both vectors.
    void clear() noexcept {
        heads.clear();
        bodies.clear();
    }

    std::size_t bytes() const noexcept {
        std::size_t sum = heads.size();
        for (const auto& b : bodies) sum += b.records->size();
        return sum;
    }

    /// Calls `piece(span)` for every contiguous piece in the order of the wire. The spans live as long as this is not changed.
    template <class Piece>
    void gather(Piece piece) const {
        std::span<const std::byte> rest(heads);
        std::size_t written = 0;
        for (const auto& b : bodies) {
            if (b.after > written) piece(rest.subspan(written, b.after - written));
            written = b.after;
            piece(std::span<const std::byte>(*b.records));
        }
        if (written < rest.size()) piece(rest.subspan(written));
    }
};

}  // namespace millrace::client
