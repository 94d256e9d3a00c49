#include "proto/compression.hpp"

#include <cstdint>
#include <vector>

#include <lz4.h>
#include <zstd.h>

namespace millrace::proto {
namespace {

// The producer's thread waits for it, and below the disk's speed a queue gains nothing from a better ratio.
constexpr int zstd_level = 1;

// What the fields compression and payload_size can cost a record.
constexpr std::size_t compressed_fields_bytes = 16;

struct free_context {
    void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
    void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

const char* chars(const std::byte* bytes) noexcept { return reinterpret_cast<const char*>(bytes); }
char* chars(std::byte* bytes) noexcept { return reinterpret_cast<char*>(bytes); }

bool decompress_zstd(std::span<const std::byte> compressed, std::string& out) {
    // A context is larger than malloc's mmap threshold: made per message, it would cost two system calls and its page faults each time.
    thread_local const std::unique_ptr<ZSTD_DCtx, free_context> context{ZSTD_createDCtx()};
    if (!context) throw std::bad_alloc();
    const std::size_t size = ZSTD_decompressDCtx(context.get(), out.data(), out.size(), compressed.data(), compressed.size());
    return ZSTD_isError(size) == 0 && size == out.size();
}

bool decompress_lz4(std::span<const std::byte> compressed, std::string& out) {
    const int size = LZ4_decompress_safe(chars(compressed.data()), out.data(), static_cast<int>(compressed.size()), static_cast<int>(out.size()));
    return size >= 0 && static_cast<std::size_t>(size) == out.size();
}

}  // namespace

struct compressor::state {
    std::vector<std::byte> scratch;
    std::unique_ptr<ZSTD_CCtx, free_context> zstd;

    std::size_t lz4_into_scratch(std::string_view payload) {
        const int size = LZ4_compress_default(payload.data(), chars(scratch.data()), static_cast<int>(payload.size()), static_cast<int>(scratch.size()));
        return static_cast<std::size_t>(size);
    }

    std::size_t zstd_into_scratch(std::string_view payload) {
        if (!zstd) zstd.reset(ZSTD_createCCtx());
        if (!zstd) throw std::bad_alloc();
        const std::size_t size = ZSTD_compressCCtx(zstd.get(), scratch.data(), scratch.size(), payload.data(), payload.size(), zstd_level);
        return ZSTD_isError(size) != 0 ? 0 : size;
    }
};

compressor::compressor() : state_(std::make_unique<state>()) {}
compressor::~compressor() = default;

std::span<const std::byte> compressor::compress(compression method, std::string_view payload) {
    if (method == compression::none || payload.size() <= compression_threshold_bytes) return {};
    // Both libraries give up when their output does not fit: no more room than would be a gain, and no work for payloads that do not compress.
    state_->scratch.resize(payload.size() - compressed_fields_bytes);
    const std::size_t size = method == compression::lz4 ? state_->lz4_into_scratch(payload) : state_->zstd_into_scratch(payload);
    return std::span(state_->scratch).first(size);
}

bool decompress(compression method, std::span<const std::byte> compressed, std::string& out) {
    return method == compression::lz4 ? decompress_lz4(compressed, out) : decompress_zstd(compressed, out);
}

}  // namespace millrace::proto
