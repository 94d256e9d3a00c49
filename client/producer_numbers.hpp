// A named producer as its client knows it: who it is to the broker, and which number its next batch in each partition has. No IO; a part of the
// publisher.
#pragma once

#include <compare>
#include <cstdint>
#include <map>

#include "proto/frame.hpp"

namespace millrace::client {

class producer_numbers {
public:
    /// The broker remembers so many batches of a partition: an older one could not be sent again.
    static constexpr std::uint32_t unanswered_max = 5;

    struct place {
        std::uint32_t topic;
        std::uint32_t partition;

        auto operator<=>(const place&) const = default;
    };

    bool is_open() const noexcept { return id_ != 0; }
    std::uint64_t id() const noexcept { return id_; }
    std::uint32_t epoch() const noexcept { return epoch_; }

    /// What the broker has taken from this producer; everything that was numbered beyond it has not happened and never will.
    void opened(const wire::ProducerOpened& as) {
        id_ = as.producer();
        epoch_ = as.epoch();
        places_.clear();
        if (!as.positions()) return;
        for (const auto* p : *as.positions()) places_[{p->topic(), p->partition()}].last = p->number();
    }

    bool may_number(place at) const {
        const auto found = places_.find(at);
        return found == places_.end() || found->second.unanswered < unanswered_max;
    }

    std::uint64_t last(place at) const {
        const auto found = places_.find(at);
        return found == places_.end() ? 0 : found->second.last;
    }

    /// The number of the next batch, which is unanswered from now on.
    std::uint64_t next(place at) {
        auto& p = places_[at];
        ++p.unanswered;
        return ++p.last;
    }

    /// A batch that kept its number from an earlier connection is unanswered on this one.
    void keep(place at) { ++places_[at].unanswered; }
    void answered(place at) { --places_[at].unanswered; }

    /// The broker did not take batch `number`: the next one gets that number.
    void rewind(place at, std::uint64_t number) { places_[at].last = number - 1; }

private:
    struct position {
        std::uint64_t last = 0;
        std::uint32_t unanswered = 0;
    };

    std::uint64_t id_ = 0;
    std::uint32_t epoch_ = 0;
    std::map<place, position> places_;
};

}  // namespace millrace::client
