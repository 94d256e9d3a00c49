// Private: bytes that lie where a page begins, as a file wants them that is written past the page cache.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace millrace::storage {

inline constexpr std::size_t page_bytes = 4096;

/// Keeps its memory.
class page_buffer {
public:
    char* data() { return pages_.empty() ? nullptr : pages_.front().bytes; }
    std::size_t size() const { return size_; }

    void append(std::string_view bytes);

    /// Zeros, until its size is a multiple of `piece`.
    void fill_up(std::size_t piece);

    /// Of the bytes before `end`, the last `count` alone stay.
    void keep_last(std::size_t count, std::size_t end);

private:
    void grow(std::size_t size);

    struct alignas(page_bytes) page {
        char bytes[page_bytes];
    };
    std::vector<page> pages_;
    std::size_t size_ = 0;
};

}  // namespace millrace::storage
