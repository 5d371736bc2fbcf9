# SPDX-License-Identifier: Apache-2.0
"""What the serving peers share: a FastAPI application under uvicorn that answers TensorFlow Serving's row form of
predict, and the command line.

A peer script defines NAME, load(model, threads) -> predict(images (N, 784) float32) -> (classes, probabilities), and
`app = make_app(...)`. With several workers uvicorn imports it once in each, so the command line reaches it through the
environment. Both ways of FastAPI are offered, the function on the event loop and in the pool of threads, each under a
path of its own; `lockstep_bench serve --peers` tries them, with one process and with one a core, and keeps the fastest.
"""
import argparse
import os

import fastapi
import numpy as np
import uvicorn
from pydantic import BaseModel


class PredictRequest(BaseModel):
    instances: list[list[float]]


class Prediction(BaseModel):
    classes: int
    probabilities: list[float]


class PredictResponse(BaseModel):
    predictions: list[Prediction]


PATHS = {"event loop": "/v1/models/mnist:predict", "thread pool": "/v1/models/threaded:predict"}


def make_app(name, load):
    if "PEER_MODEL" not in os.environ:  # the parent of several workers
        return None
    predict = load(os.environ["PEER_MODEL"], int(os.environ["PEER_THREADS"]))
    predict(np.zeros((1, 784), np.float32))  # warm
    app = fastapi.FastAPI()

    def answer(request):
        classes, probabilities = predict(np.array(request.instances, np.float32))
        return PredictResponse(predictions=[Prediction(classes=c, probabilities=p)
                                            for c, p in zip(classes.tolist(), probabilities.tolist())])

    @app.post(PATHS["event loop"])
    async def predict_on_loop(request: PredictRequest) -> PredictResponse:
        return answer(request)

    @app.post(PATHS["thread pool"])
    def predict_in_pool(request: PredictRequest) -> PredictResponse:
        return answer(request)

    @app.get("/readyz")
    async def ready():
        return {"peer": f"{name} behind FastAPI {fastapi.__version__}", "paths": PATHS}

    return app


def serve(app):
    p = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--model", required=True, help="exported model")
    p.add_argument("--port", type=int, default=8601)
    p.add_argument("--workers", type=int, default=1, help="processes")
    p.add_argument("--threads", type=int, default=1, help="compute threads of each")
    args = p.parse_args()
    os.environ["PEER_MODEL"], os.environ["PEER_THREADS"] = args.model, str(args.threads)
    # A worker under load answers its parent late, who after five seconds, the default, would kill it in mid-measurement.
    uvicorn.run(app, host="127.0.0.1", port=args.port, workers=args.workers, log_level="warning", access_log=False,
                timeout_worker_healthcheck=60)
