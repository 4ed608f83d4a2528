"""What else could clear these payments: the same work by Kafka Streams, by a plain aiokafka loop, by Faust.

See loadtests/README.md for what each of them does, and what is counted.
"""
