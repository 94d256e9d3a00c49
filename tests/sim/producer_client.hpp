// A named producer that numbers its batches by hand: it sends unanswered ones again after a loss, known ones at any time, dies, and fences others of its
// name. It also sends what must be refused: gaps, other messages under a known number, other epochs.
#pragma once

#include <deque>
#include <map>

#include "proto/record.hpp"
#include "tests/sim/peer.hpp"
#include "tests/sim/wire_client.hpp"

namespace millrace::sim {

class producer_client : public peer {
public:
    producer_client(surroundings& around, std::string name);

    void act() override;
    void cut() override { wire_.cut(); }
    connection* wire() override { return wire_.wire(); }

private:
    /// Of a partition, the broker remembers so many batches.
    static constexpr std::size_t remembered = 5;

    struct batch {
        std::uint64_t number = 0;
        std::vector<message_number> messages;
        std::vector<std::byte> records;
    };
    struct place {
        std::uint32_t topic = 0, partition = 0;

        auto operator<=>(const place&) const = default;
    };
    struct position {
        std::uint64_t last = 0;        // number given
        std::deque<batch> unanswered;  // ascending
        std::deque<batch> answered;    // the last of them
        std::uint64_t refused = 0;     // this number was; those behind it will be, and it is given again when they are answered
    };
    enum class fault { gap, other_messages, old_epoch, epoch_to_come, count };

    void welcomed();
    void lost();
    void open();
    void opened(const wire::ProducerOpened& as);
    void begin_anew();

    void publish();
    void send_known();
    void send_wrong();
    void send(place at, const batch& b, std::uint32_t epoch, wire_client::answered then);
    void send_counted(place at, const batch& b);
    void answered(place at, std::uint64_t number, const proto::frame& f);
    void taken(place at, const batch& b, sequence first);
    void refused(place at, std::uint64_t number, errc why, const std::string& what);
    void rewind(position& p);
    batch make_batch(const std::string& topic, std::uint64_t number);
    const known_topic* topic_of(place at) const;
    std::optional<place> some_place_with_answers();

    surroundings& around_;
    wire_client wire_;
    std::string name_;
    incarnation_key who_{};
    std::uint64_t incarnation_ = 0;  // 0: it has never opened its name
    bool was_open_ = false;
    bool is_open_ = false;
    bool fenced_ = false;
    std::uint64_t id_ = 0;
    std::uint32_t epoch_ = 0;
    std::map<place, position> places_;
    timestamp pinged_at_;
    proto::record_encoder encoder_;
};

}  // namespace millrace::sim
