// The bytes of keys and values, for the tables of row.hpp and producers.hpp: keys big-endian so that they sort, values little-endian.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "broker/core/mutation.hpp"
#include "broker/core/settings.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

inline constexpr std::uint8_t row_version = 1;

static_assert(std::endian::native == std::endian::little, "values are written as the processor holds them");

class key_writer {
public:
    explicit key_writer(char table) { key_.push_back(table); }
    key_writer& u32(std::uint32_t v) { return big_endian(v, 4); }
    key_writer& u64(std::uint64_t v) { return big_endian(v, 8); }
    std::string take() { return std::move(key_); }

private:
    key_writer& big_endian(std::uint64_t v, int bytes) {
        for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) key_.push_back(static_cast<char>(v >> shift));
        return *this;
    }
    std::string key_;
};

class key_reader {
public:
    explicit key_reader(std::string_view key) : rest_(key.substr(1)) {}
    std::uint32_t u32() { return static_cast<std::uint32_t>(big_endian(4)); }
    std::uint64_t u64() { return big_endian(8); }
    bool good() const { return good_ && rest_.empty(); }

private:
    std::uint64_t big_endian(std::size_t bytes) {
        if (rest_.size() < bytes) {
            good_ = false;
            return 0;
        }
        std::uint64_t v = 0;
        for (const char c : rest_.substr(0, bytes)) v = v << 8 | static_cast<std::uint8_t>(c);
        rest_.remove_prefix(bytes);
        return v;
    }
    std::string_view rest_;
    bool good_ = true;
};

class value_writer {
public:
    value_writer() { number(row_version); }
    template <class T>
    value_writer& number(T v) {
        value_.append(reinterpret_cast<const char*>(&v), sizeof v);
        return *this;
    }
    value_writer& text(const std::string& s) {
        number(static_cast<std::uint16_t>(s.size()));
        value_ += s;
        return *this;
    }
    value_writer& time(timestamp t) { return number(static_cast<std::int64_t>(t.time_since_epoch().count())); }
    value_writer& age(duration d) { return number(static_cast<std::int64_t>(d.count())); }
    std::string take() { return std::move(value_); }

private:
    std::string value_;
};

class value_reader {
public:
    explicit value_reader(std::string_view value) : rest_(value) { good_ = number<std::uint8_t>() == row_version; }
    template <class T>
    T number() {
        T v{};
        if (rest_.size() < sizeof v) {
            good_ = false;
            return v;
        }
        std::memcpy(&v, rest_.data(), sizeof v);
        rest_.remove_prefix(sizeof v);
        return v;
    }
    std::string text() {
        const auto size = number<std::uint16_t>();
        if (rest_.size() < size) {
            good_ = false;
            return {};
        }
        std::string s(rest_.substr(0, size));
        rest_.remove_prefix(size);
        return s;
    }
    timestamp time() { return timestamp{std::chrono::microseconds{number<std::int64_t>()}}; }
    duration age() { return duration{number<std::int64_t>()}; }
    bool good() const { return good_ && rest_.empty(); }
    bool at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
    bool good_ = true;
};

/// No error when `good`; else corruption, naming the key.
error row_verdict(const row& r, bool good);

}  // namespace millrace::core
