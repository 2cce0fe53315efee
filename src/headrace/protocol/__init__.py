"""The wire: MLflow's REST protocol as msgspec structs, endpoints, limits and URIs.

A struct here is the wire format, the domain type and the store's argument at once. A request
struct checks itself when it is made, so a caller's mistake raises where it is made: in the SDK
before anything is sent, in the server while the body is decoded.
"""
