"""Policy and judgement: may this change be made, and by whose leave. Pure."""
