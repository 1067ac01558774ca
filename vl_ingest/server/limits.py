"""Limits of a request, whoever carries it. Light: couriers of their own process import it."""

RECEIPT_OF_UPLOAD = 202
ANSWER_BYTES = 1024 * 1024  # more of an answer is not read
KEPT_S = (
    4.0  # servers close a silent connection after 5 s at the earliest, perhaps as the next request is sent
)
ENDED = "the run ended before the files were sent"
OVERDUE = "its time was over before the files were sent"
