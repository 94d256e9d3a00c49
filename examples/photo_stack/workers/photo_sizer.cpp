// photo-sizer: makes the sizes of uploaded and of edited photos. They are stored, then told, and then the job is acked: a crash in between repeats the job,
// whose files are the same again, and whose results have their effect once.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <vector>

#include "examples/photo_stack/photos/object_stores.hpp"
#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/photos/version_files.hpp"
#include "examples/photo_stack/workers/worker_program.hpp"
#include "examples/photo_workers/renditions.hpp"

namespace {

namespace client = millrace::client;
namespace fs = std::filesystem;
using photo_stack::size_result;
using photo_stack::uploaded_photo;

/// What is to be told of a version whose sizes are kept.
std::vector<size_result> results_of(const uploaded_photo& job, const photo_stack::made_version& made) {
    std::vector<size_result> results;
    for (const auto& size : made.sizes) results.push_back({.photo = job.photo, .version = job.version, .size = size, .sizes = made.sizes.size()});
    results.back().uneven = made.uneven;
    return results;
}

void process(client::connection& broker, photo_stack::photo_files& files, const fs::path& drafts, const uploaded_photo& job, const photo_spans::span_context& span) {
    std::vector<size_result> results;
    try {
        const auto made = photo_stack::make_version(files, drafts, job.photo, job.original, job.version, job.edit);
        if (!made) {
            spdlog::info("photo {} is gone", job.photo);  // deleted since
            return;
        }
        results = results_of(job, *made);
    } catch (const photos::unusable& why) {
        results = {{.photo = job.photo, .version = job.version, .fault = why.what()}};
    }
    photo_workers::publish_results(broker, results, span);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> stores;
    fs::path drafts;
    client::connection_settings broker;
    CLI::App app("Makes the sizes of uploaded photos", "photo-sizer");
    photo_workers::add_broker_options(app, broker);
    app.add_option("--object-stores", stores, "http://ADDRESS:PORT,… of the photos' files: each has all of them")->required()->delimiter(',');
    app.add_option("--drafts", drafts, "folder for files that are being made")->required();
    CLI11_PARSE(app, argc, argv);
    photos::start_imaging("photo-sizer");
    photo_stack::object_stores files(stores);
    return photo_workers::run_worker<uploaded_photo>(
        broker, photo_stack::uploaded_topic, photo_stack::workers_subscription,
        [&](client::connection& c, const uploaded_photo& job, const photo_spans::span_context& span) { process(c, files, drafts, job, span); });
}
