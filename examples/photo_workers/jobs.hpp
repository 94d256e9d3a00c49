// What the producer and the workers say to each other: topics, and messages as text.
//
//   photos        one message a photo: its path (the claim check: the bytes stay where they are)
//   photos.done   "PATH\nATTEMPT\tWORKER\nKIND\tWIDTH\tHEIGHT\tFILE\n…" for each photo that was made into renditions
//   photos.dead   what no worker could use, with the reason in its envelope
#pragma once

#include <charconv>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "examples/photo_workers/renditions.hpp"

namespace photos {

inline const std::string jobs_topic = "photos";
inline const std::string done_topic = "photos.done";
inline const std::string dead_topic = "photos.dead";
inline const std::string workers_subscription = "workers";
inline const std::string producer_subscription = "producer";

struct finished_job {
    std::string photo;
    std::uint32_t attempt = 1;
    std::string worker;
    std::vector<rendition> renditions;
};

inline std::string to_text(const finished_job& job) {
    std::ostringstream out;
    out << job.photo << '\n' << job.attempt << '\t' << job.worker << '\n';
    for (const auto& r : job.renditions) out << r.kind << '\t' << r.width << '\t' << r.height << '\t' << r.file.string() << '\n';
    return out.str();
}

inline finished_job finished_job_from(const std::string& text) {
    std::istringstream in(text);
    finished_job job;
    std::getline(in, job.photo);
    in >> job.attempt >> job.worker;
    for (rendition r; in >> r.kind >> r.width >> r.height;) {
        std::string file;
        in.get();  // the tab before the name, which may have blanks
        std::getline(in, file);
        r.file = file;
        job.renditions.push_back(r);
    }
    return job;
}

}  // namespace photos
