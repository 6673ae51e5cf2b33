"""OpenCV's side of the benchmark: finds faces with `FaceDetectorYN`, a round at a time, in the protocol of `pytorch.py`.

Either each thread has a detector and its own pictures (`threads`), or one detector has all of OpenCV's threads (`one`).
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy
from turns import memory, turns


def main() -> None:
    setup = json.loads(sys.argv[1])["faces"]
    side, size = setup["side"], setup["size"]
    pictures = numpy.fromfile(setup["pictures"], dtype=numpy.uint8).reshape(-1, side, side)
    threads = setup["threads"] if setup["mode"] == "threads" else 1
    cv2.setNumThreads(1 if setup["mode"] == "threads" else setup["threads"])
    parts = numpy.array_split(pictures, threads)
    detectors = [cv2.FaceDetectorYN.create(setup["model"], "", (size, size), 0.6, 0.3, 5000) for _ in parts]

    def find(part: int) -> int:
        found = 0
        for picture in parts[part]:
            picture = cv2.cvtColor(cv2.resize(picture, (size, size)), cv2.COLOR_GRAY2BGR)
            found += detectors[part].detect(picture)[1] is not None
        return found

    with ThreadPoolExecutor(threads) as pool:
        more = turns({"ready": True, "mb": memory("VmRSS")})
        while more:
            began = time.perf_counter()
            found = sum(pool.map(find, range(len(parts))))
            speed = len(pictures) / (time.perf_counter() - began)
            more = turns({"images_per_second": speed, "found": found, "peak_mb": memory("VmHWM")})


if __name__ == "__main__":
    main()
