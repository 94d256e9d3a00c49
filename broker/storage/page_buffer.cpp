#include "broker/storage/page_buffer.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace millrace::storage {
namespace {

constexpr std::size_t free_max = 3;                 // while one is written, another is filled, and a third where one log follows another
constexpr std::size_t kept_bytes_max = 16u << 20;  // what a stall has made larger is not kept

#ifdef __SSE2__
/// To memory, and not into this processor's cache: the disk is the next to read it, and others need the cache.
void copy_past_cache(const char* from, std::size_t bytes, char* to) {
    constexpr std::size_t line = 64;
    const auto in_front = std::min(bytes, -reinterpret_cast<std::uintptr_t>(to) % line);
    to = std::copy_n(from, in_front, to);
    from += in_front;
    bytes -= in_front;
    for (; bytes >= sizeof(__m128i); from += sizeof(__m128i), to += sizeof(__m128i), bytes -= sizeof(__m128i)) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(to), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
    _mm_sfence();  // before another thread, or the disk, is told of it
    std::copy_n(from, bytes, to);
}
#else
void copy_past_cache(const char* from, std::size_t bytes, char* to) { std::copy_n(from, bytes, to); }
#endif

}  // namespace

void page_buffer::append(std::string_view bytes) {
    const auto at = size_;
    grow(at + bytes.size());
    if (bytes.size() < page_bytes) {
        std::copy(bytes.begin(), bytes.end(), data() + at);
    } else {
        copy_past_cache(bytes.data(), bytes.size(), data() + at);
    }
}

void page_buffer::fill_up(std::size_t piece) {
    const auto at = size_;
    grow((at + piece - 1) / piece * piece);
    std::fill(data() + at, data() + size_, '\0');
}

void page_buffer::grow(std::size_t size) {
    const auto pages = (size + page_bytes - 1) / page_bytes;
    if (pages > pages_.size()) {
        pages_.resize(std::max(pages, 2 * pages_.size()));
    }
    size_ = size;
}

page_buffer page_buffers::take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) {
        return {};
    }
    auto buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
}

void page_buffers::give_back(page_buffer buffer) {
    buffer.clear();
    std::lock_guard lock(mutex_);
    if (free_.size() < free_max && buffer.capacity() <= kept_bytes_max) {
        free_.push_back(std::move(buffer));
    }
}

}  // namespace millrace::storage
