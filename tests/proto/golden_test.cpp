// What was written once is read for ever: the golden files against the code, in both directions.
#include <algorithm>
#include <set>

#include <catch2/catch.hpp>
#include <flatbuffers/minireflect.h>

#include "golden.hpp"
#include "samples.hpp"

namespace millrace::proto {
namespace {

// Names the fields that a flatbuffer leaves out.
class absent_fields : public flatbuffers::IterationVisitor {
public:
    void Field(std::size_t, std::size_t, flatbuffers::ElementaryType, bool, const flatbuffers::TypeTable*, const char* name,
               const std::uint8_t* value) override {
        if (value == nullptr) found.emplace_back(name);
    }
    std::vector<std::string> found;
};

const std::uint8_t* head_of(const samples::byte_string& frame) { return reinterpret_cast<const std::uint8_t*>(frame.data()) + frame_prefix_bytes; }

std::string text_of(const samples::byte_string& frame) {
    return flatbuffers::FlatBufferToString(head_of(frame), wire::FrameTypeTable(), true);
}

frame_decoder decoder_holding(const samples::byte_string& bytes) {
    frame_decoder decoder(limits::frame_bytes);
    decoder.append(bytes);
    return decoder;
}

}  // namespace

TEST_CASE("records are encoded and decoded as in the golden files") {
    for (const auto& sample : samples::records()) {
        const auto file = "record_" + sample.name + ".bin";
        const auto encoded = samples::encode(sample.content, sample.method);
        // Another version of a compressor may give other bytes for the same payload.
        if (sample.method == compression::none) golden::require_same(file, encoded);
        else golden::rewrite(file, encoded);

        message decoded;
        INFO(file);
        REQUIRE_FALSE(decode_record(golden::read(file), decoded));
        REQUIRE(decoded == sample.content);
    }
}

TEST_CASE("an envelope is encoded and decoded as in the golden file") {
    const auto wrapped = samples::records().front().content;
    golden::require_same("record_envelope.bin", samples::envelope(samples::encode(wrapped)));
    message decoded;
    std::optional<dead_origin> died;
    REQUIRE_FALSE(decode_record(golden::read("record_envelope.bin"), decoded, &died));
    REQUIRE(decoded == wrapped);
    REQUIRE(died == samples::origin());
}

TEST_CASE("frames are encoded as in the golden files, and these are taken by the decoder") {
    for (const auto& sample : samples::frames()) {
        const auto file = "frame_" + sample.name + ".bin";
        golden::require_same(file, sample.bytes);
        const auto stored = golden::read(file);
        auto decoder = decoder_holding(stored);
        frame taken;
        INFO(file << " " << decoder.failure().what);
        REQUIRE(decoder.next(taken) == frame_decoder::status::frame);
        REQUIRE(wire::EnumNameMessage(taken.head->message_type()) == sample.name);
        REQUIRE(decoder.buffered_bytes() == 0);
    }
}

TEST_CASE("frames of earlier releases are taken, and what they lack means what its absence meant") {
    for (const std::string name : {"Hello", "Welcome", "OpenProducer", "Acked"}) {
        const auto stored = golden::read("released_0_frame_" + name + ".bin");
        auto decoder = decoder_holding(stored);
        frame taken;
        INFO(name << " " << decoder.failure().what);
        REQUIRE(decoder.next(taken) == frame_decoder::status::frame);
        REQUIRE(wire::EnumNameMessage(taken.head->message_type()) == name);
        if (const auto* hello = taken.head->message_as_Hello()) REQUIRE((hello->name()->str() == "resizer-1" && hello->former_session() == 0));
        if (const auto* welcome = taken.head->message_as_Welcome()) REQUIRE((welcome->session() == 77 && welcome->session_key() == 0));
        if (const auto* acked = taken.head->message_as_Acked()) REQUIRE((acked->lost()->size() > 0 && !acked->limited()));
        if (const auto* open = taken.head->message_as_OpenProducer())
            REQUIRE((open->name()->str() == "web-1" && open->incarnation() == 0 && !open->returning()));
    }
}

TEST_CASE("golden frames hold the values that frames.txt says") {
    std::string text;
    for (const auto& sample : samples::frames()) text += sample.name + " " + text_of(golden::read("frame_" + sample.name + ".bin")) + "\n\n";
    if (golden::rewriting()) golden::write_text(golden::path_of("frames.txt"), text);
    REQUIRE(golden::read_text(golden::path_of("frames.txt")) == text);
}

TEST_CASE("every member of the union has a golden frame with every field") {
    std::set<std::string> missing;
    for (const auto kind : wire::EnumValuesMessage())
        if (kind != wire::Message::NONE) missing.insert(wire::EnumNameMessage(kind));
    for (const auto& sample : samples::frames()) {
        missing.erase(sample.name);
        absent_fields absent;
        flatbuffers::IterateFlatBuffer(head_of(sample.bytes), wire::FrameTypeTable(), &absent);
        INFO(sample.name);
        REQUIRE(absent.found == std::vector<std::string>{});
    }
    REQUIRE(missing == std::set<std::string>{});
}

TEST_CASE("an entry is written and parsed as in the golden file") {
    golden::require_same("entry.bin", samples::entry());
    entry_layout layout;
    REQUIRE_FALSE(parse_entry(golden::read("entry.bin"), sequence{102}, layout));
    REQUIRE(layout.batches == samples::batches());
    REQUIRE(layout.ends.size() == 3);
}

}  // namespace millrace::proto
