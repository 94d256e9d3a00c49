// FORMAT.md against the code: its hex blocks, and that nothing which travels is missing from it.
#include <algorithm>
#include <array>
#include <cstdio>

#include <catch2/catch.hpp>

#include "golden.hpp"
#include "millrace/error.hpp"
#include "samples.hpp"

namespace millrace::proto {
namespace {

const std::string document_path = MILLRACE_TEST_DATA "/../../proto/FORMAT.md";

template <class... Values>
std::string formatted(const char* format, Values... values) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), format, values...);
    return text.data();
}

// "00  30 00 …", 16 bytes a line
std::string hex(const samples::byte_string& bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        if (at % 16 == 0) text += formatted("%02zx ", at);
        text += formatted(" %02x", std::to_integer<unsigned>(bytes[at]));
        if (at % 16 == 15 || at + 1 == bytes.size()) text += '\n';
    }
    return text;
}

struct block {
    std::size_t begin, size;
};

block find_block(const std::string& document, const std::string& file) {
    const std::string opening = "<!-- bytes: " + file + " -->\n```text\n";
    const auto at = document.find(opening);
    INFO(file);
    REQUIRE(at != std::string::npos);
    const auto begin = at + opening.size();
    return {begin, document.find("```", begin) - begin};
}

}  // namespace

TEST_CASE("the hex in FORMAT.md is what the code writes") {
    auto document = golden::read_text(document_path);
    const auto all = samples::frames();
    const auto frame = std::find_if(all.begin(), all.end(), [](const auto& s) { return s.name == "Publish"; });
    const std::pair<std::string, samples::byte_string> examples[] = {
        {"record_plain.bin", samples::encode(samples::records().front().content)},
        {"record_envelope.bin", samples::envelope(samples::encode(samples::records().front().content))},
        {"frame_Publish.bin", frame->bytes},
        {"entry.bin", samples::entry()},
    };
    for (const auto& [file, bytes] : examples) {
        const auto place = find_block(document, file);
        if (golden::rewriting()) document.replace(place.begin, place.size, hex(bytes));
        else CHECK(document.substr(place.begin, place.size) == hex(bytes));
    }
    if (golden::rewriting()) golden::write_text(document_path, document);
}

TEST_CASE("FORMAT.md names every message and every refusal") {
    const auto document = golden::read_text(document_path);
    const auto names = [&](const std::string& word) { return document.find("`" + word + "`") != std::string::npos; };
    for (const auto kind : wire::EnumValuesMessage()) {
        INFO(wire::EnumNameMessage(kind));
        CHECK((kind == wire::Message::NONE || names(wire::EnumNameMessage(kind))));
    }
    for (int number = 1; number <= UINT16_MAX; ++number) {
        const std::string name = name_of(static_cast<errc>(number));
        INFO(name);
        if (name != "unknown") CHECK(names(name));
    }
}

}  // namespace millrace::proto
