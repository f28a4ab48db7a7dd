"""Calls the financial service with a stock SOAP client that knows nothing but its WSDL.

Usage: zeep_client.py URL. Exits 0 when all is as described, and says what is not otherwise.
"""

import sys

from zeep import Client
from zeep.exceptions import Fault


def main() -> None:
    client = Client(sys.argv[1] + "/?wsdl")
    card = {
        "card_name": "Ada <Lovelace> & Söhne",
        "card_number": "4111111111111111",
        "expiry": "07/2031",
        "security_code": "123",
    }

    first = client.service.AuthorizePayment(transaction_id="zeep-1", amount_cents=1234, **card)
    assert first.approved is True and first.authorization_id, first
    again = client.service.AuthorizePayment(transaction_id="zeep-1", amount_cents=1234, **card)
    assert again == first, (first, again)
    assert client.service.VoidPayment(transaction_id="zeep-1") is True

    for wrong in ({"transaction_id": "zeep-1", "amount_cents": 1}, {"transaction_id": "zeep-2", "amount_cents": 0}):
        try:
            client.service.AuthorizePayment(**wrong, **card)
        except Fault as fault:
            assert fault.code == "soap:Client", fault.code
        else:
            raise AssertionError(f"no fault for {wrong}")


main()
