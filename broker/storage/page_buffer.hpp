// Private: bytes that lie where a page begins, as a file wants them that is written past the page cache.
#pragma once

#include <cstddef>
#include <mutex>
#include <string_view>
#include <vector>

namespace millrace::storage {

inline constexpr std::size_t page_bytes = 4096;

/// Keeps its memory.
class page_buffer {
public:
    char* data() { return pages_.empty() ? nullptr : pages_.front().bytes; }
    const char* data() const { return pages_.empty() ? nullptr : pages_.front().bytes; }
    std::size_t size() const { return size_; }
    std::size_t capacity() const { return pages_.size() * page_bytes; }
    std::string_view bytes() const { return {data(), size_}; }

    void append(std::string_view bytes);

    /// Zeros, until its size is a multiple of `piece`.
    void fill_up(std::size_t piece);

    void clear() { size_ = 0; }

private:
    void grow(std::size_t size);

    struct alignas(page_bytes) page {
        char bytes[page_bytes];
    };
    std::vector<page> pages_;
    std::size_t size_ = 0;
};

/// Buffers that are used again: fresh memory costs page faults. Thread-safe.
class page_buffers {
public:
    page_buffer take();
    void give_back(page_buffer buffer);

private:
    std::mutex mutex_;
    std::vector<page_buffer> free_;
};

}  // namespace millrace::storage
