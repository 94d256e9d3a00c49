// Publishes one job for each argument and returns when all are safe on the broker's disk.
//   example_publish holiday/1.jpg holiday/2.jpg
#include <iostream>
#include <system_error>

#include "millrace/blocking_client.hpp"

int main(int argc, char** argv) {
    using namespace millrace;
    try {
        client::blocking_client broker({.server = "127.0.0.1:7070", .name = "uploader"});
        try {
            broker.create_topic("photos");
            broker.create_topic("photos.dead");
            broker.create_subscription("photos", "resize", {.max_deliveries = 3, .dead_letter = "photos.dead"});
        } catch (const std::system_error& refused) {
            if (refused.code() != errc::topic_exists && refused.code() != errc::subscription_exists) throw;
        }
        std::vector<message> jobs;
        for (int i = 1; i < argc; ++i) jobs.push_back({.headers = {{"kind", "thumbnail"}}, .payload = argv[i]});
        for (const auto& receipt : broker.publish_all("photos", std::move(jobs)))
            std::cout << "sequence " << receipt.sequence.value << " of partition " << receipt.partition << ": " << name_of(receipt.level) << '\n';
    } catch (const std::system_error& refused) {
        std::cerr << "cannot publish: " << refused.what() << '\n';
        return 1;
    }
}
